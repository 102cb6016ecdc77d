#include <omp.h>

#include <cstring>

#include "backend/host/host_backend.h"
#include "backend/host/parallel.h"
#include "backend/upload.h"

namespace gsnet::host {

template <class T>
HostMemory<T>::HostMemory(int threads)
    : threads_(threads > 0 ? threads : omp_get_num_procs()), memory_(make_host_allocator()) {}

template <class T>
Tensor HostMemory<T>::upload(const Tensor& host) {
  Tensor copy;
  assign(host, copy);
  return copy;
}

template <class T>
void HostMemory<T>::assign(const Tensor& host, Tensor& y) {
  const Tensor held = as_held(host, dtype());
  make_alike(held, memory_, y);
  std::memcpy(y.raw(), held.raw(), held.bytes());
}

template <class T>
Tensor HostMemory<T>::download(const Tensor& x) {
  return with_layout(x, x.layout());
}

template <class T>
void HostMemory<T>::gemm(const GemmShape& s, const T* a, const T* b, T* y) {
  parallel_for(threads_, s.batch * s.rows, s.columns * s.inner, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t batch = line / s.rows, row = line % s.rows;
      const T* am = a + batch * s.rows * s.inner;
      const T* bm = b + batch * s.inner * s.columns;
      T* to = y + line * s.columns;
      if (s.transpose_b) {
        for (int64_t c = 0; c < s.columns; ++c) {
          T sum = 0;
          for (int64_t i = 0; i < s.inner; ++i) {
            sum += (s.transpose_a ? am[i * s.rows + row] : am[row * s.inner + i]) * bm[c * s.inner + i];
          }
          to[c] = sum;
        }
        continue;
      }
      for (int64_t c = 0; c < s.columns; ++c) to[c] = 0;
      for (int64_t i = 0; i < s.inner; ++i) {
        const T value = s.transpose_a ? am[i * s.rows + row] : am[row * s.inner + i];
        for (int64_t c = 0; c < s.columns; ++c) to[c] += value * bm[i * s.columns + c];
      }
    }
  });
}

template class HostMemory<float>;
template class HostMemory<double>;

}  // namespace gsnet::host
