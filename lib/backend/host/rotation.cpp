// Rotations by small blocks: blocks are gathered, multiplied and scattered, a group and a block at a time.
#include <algorithm>
#include <array>
#include <vector>

#include "backend/host/host_backend.h"
#include "backend/host/parallel.h"

namespace gsnet::host {
namespace {

/// Sums in sixteen parts: vectors where the machine has them, and the same on all.
template <class T>
T dot(int64_t count, const T* a, const T* b) {
  constexpr int64_t kParts = 16;
  std::array<T, kParts> parts{};
  int64_t i = 0;
  for (; i + kParts <= count; i += kParts) {
    for (int64_t p = 0; p < kParts; ++p) parts[static_cast<size_t>(p)] += a[i + p] * b[i + p];
  }
  for (; i < count; ++i) parts[0] += a[i] * b[i];
  T sum = 0;
  for (const T part : parts) sum += part;
  return sum;
}

/// The rows of one block of one group, as (b, outer x inner): row u holds place order[j b + u] of every vector.
template <class T>
class BlockRows {
 public:
  BlockRows(const RotationSpec& spec, int64_t outer) : spec_(spec), outer_(outer) {}

  int64_t columns() const { return outer_ * spec_.inner; }

  void gather(const T* x, int64_t group, int64_t block, T* rows) const {
    walk(
        group, block, [&](int64_t at, T* row) { std::copy_n(x + at, spec_.inner, row); }, rows);
  }
  void scatter(const T* rows, int64_t group, int64_t block, T* y) const {
    walk(
        group, block, [&](int64_t at, const T* row) { std::copy_n(row, spec_.inner, y + at); }, rows);
  }

 private:
  template <class Move, class Pointer>
  void walk(int64_t group, int64_t block, Move&& move, Pointer rows) const {
    const int64_t n = spec_.pattern.size(), b = spec_.pattern.block(), inner = spec_.inner;
    const auto order = spec_.pattern.order();
    for (int64_t u = 0; u < b; ++u) {
      const int64_t place = order[static_cast<size_t>(block * b + u)];
      for (int64_t o = 0; o < outer_; ++o) {
        move(((group * outer_ + o) * n + place) * inner, rows + (u * outer_ + o) * inner);
      }
    }
  }

  const RotationSpec& spec_;
  int64_t outer_;
};

}  // namespace

template <class T>
void HostRotation<T>::rotate(const RotationSpec& spec, const Tensor& x, const Tensor& q, Tensor& y) {
  const BlockRows<T> rows(spec, spec.outer(x.shape(), q.shape()));
  const int64_t b = spec.pattern.block(), blocks = spec.pattern.blocks(), columns = rows.columns();
  const int64_t stride_t = spec.transpose ? 1 : b, stride_u = spec.transpose ? b : 1;
  parallel_for(this->threads(), spec.groups * blocks, b * b * columns, [&](int64_t begin, int64_t end) {
    std::vector<T> from(static_cast<size_t>(b * columns)), to(from.size());
    for (int64_t i = begin; i < end; ++i) {
      rows.gather(x.data<T>(), i / blocks, i % blocks, from.data());
      const T* block = q.data<T>() + i * b * b;
      std::ranges::fill(to, T{0});
      for (int64_t t = 0; t < b; ++t) {
        for (int64_t u = 0; u < b; ++u) {
          const T factor = block[t * stride_t + u * stride_u];
          const T* source = from.data() + u * columns;
          T* target = to.data() + t * columns;
          for (int64_t c = 0; c < columns; ++c) target[c] += factor * source[c];
        }
      }
      rows.scatter(to.data(), i / blocks, i % blocks, y.data<T>());
    }
  });
}

template <class T>
void HostRotation<T>::rotate_backward(const RotationSpec& spec, const Tensor& x, const Tensor& dy, Tensor& dq) {
  const BlockRows<T> rows(spec, spec.outer(x.shape(), dq.shape()));
  const int64_t b = spec.pattern.block(), blocks = spec.pattern.blocks(), columns = rows.columns();
  const int64_t stride_t = spec.transpose ? 1 : b, stride_u = spec.transpose ? b : 1;
  parallel_for(this->threads(), spec.groups * blocks, b * b * columns, [&](int64_t begin, int64_t end) {
    std::vector<T> from(static_cast<size_t>(b * columns)), gradient(from.size());
    for (int64_t i = begin; i < end; ++i) {
      rows.gather(x.data<T>(), i / blocks, i % blocks, from.data());
      rows.gather(dy.data<T>(), i / blocks, i % blocks, gradient.data());
      T* block = dq.data<T>() + i * b * b;
      for (int64_t t = 0; t < b; ++t) {
        for (int64_t u = 0; u < b; ++u) {
          block[t * stride_t + u * stride_u] = dot(columns, gradient.data() + t * columns, from.data() + u * columns);
        }
      }
    }
  });
}

template <class T>
void HostRotation<T>::skew_from_triangle(const Tensor& v, Tensor& k) {
  const int64_t b = k.shape()[1];
  const T* from = v.data<T>();
  for (int64_t i = 0; i < k.shape()[0]; ++i) {
    T* block = k.data<T>() + i * b * b;
    for (int64_t r = 0; r < b; ++r) {
      block[r * b + r] = 0;
      for (int64_t c = r + 1; c < b; ++c) {
        block[r * b + c] = *from;
        block[c * b + r] = -*from++;
      }
    }
  }
}

template <class T>
void HostRotation<T>::skew_from_triangle_backward(const Tensor& dk, Tensor& dv) {
  const int64_t b = dk.shape()[1];
  T* to = dv.data<T>();
  for (int64_t i = 0; i < dk.shape()[0]; ++i) {
    const T* block = dk.data<T>() + i * b * b;
    for (int64_t r = 0; r < b; ++r) {
      for (int64_t c = r + 1; c < b; ++c) *to++ = block[r * b + c] - block[c * b + r];
    }
  }
}

template <class T>
void HostRotation<T>::scale_rows(const Tensor& x, const Tensor& s, Tensor& y) {
  const int64_t rows = s.numel(), columns = rows == 0 ? 0 : x.numel() / rows;
  parallel_for(this->threads(), rows, columns, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T factor = s.data<T>()[r];
      const T* from = x.data<T>() + r * columns;
      T* to = y.data<T>() + r * columns;
      for (int64_t c = 0; c < columns; ++c) to[c] = factor * from[c];
    }
  });
}

template <class T>
void HostRotation<T>::scale_rows_backward(const Tensor& x, const Tensor& dy, Tensor& ds) {
  const int64_t rows = ds.numel(), columns = rows == 0 ? 0 : x.numel() / rows;
  parallel_for(this->threads(), rows, columns, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      ds.data<T>()[r] = dot(columns, x.data<T>() + r * columns, dy.data<T>() + r * columns);
    }
  });
}

template class HostRotation<float>;
template class HostRotation<double>;

}  // namespace gsnet::host
