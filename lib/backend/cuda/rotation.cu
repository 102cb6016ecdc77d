// Rotations by small blocks, a number of the result a thread.
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/loops.h"
#include "backend/cuda/sums.h"

namespace gsnet::cuda {
namespace {

/// x as (groups, outer, n, inner), and which block and row of it a place belongs to.
struct Places {
  int64_t outer, n, inner, block, blocks;
  const int32_t* order;  ///< place of row u of block j at j block + u
  const int32_t* rank;   ///< its inverse

  GSNET_DEVICE int64_t at(int64_t group, int64_t o, int64_t place, int64_t i) const {
    return ((group * outer + o) * n + place) * inner + i;
  }
};

std::vector<int32_t> inverse(std::span<const int32_t> order) {
  std::vector<int32_t> rank(order.size());
  for (size_t i = 0; i < order.size(); ++i) rank[static_cast<size_t>(order[i])] = static_cast<int32_t>(i);
  return rank;
}

}  // namespace

void CudaBackend::rotate(const RotationSpec& spec, const Tensor& x, const Tensor& q, Tensor& y) {
  const Places places{spec.outer(x.shape(), q.shape()),
                      spec.pattern.size(),
                      spec.inner,
                      spec.pattern.block(),
                      spec.pattern.blocks(),
                      constant(spec.pattern.order()),
                      constant(inverse(spec.pattern.order()))};
  const int64_t b = places.block, stride_t = spec.transpose ? 1 : b, stride_u = spec.transpose ? b : 1;
  const float* from = x.data<float>();
  const float* matrices = q.data<float>();
  float* to = y.data<float>();
  for_each(stream(), x.numel(), [=] GSNET_DEVICE(int64_t element) {
    const int64_t i = element % places.inner, place = element / places.inner % places.n;
    const int64_t o = element / (places.inner * places.n) % places.outer;
    const int64_t group = element / (places.inner * places.n * places.outer);
    const int64_t rank = places.rank[place], j = rank / b, t = rank % b;
    const float* matrix = matrices + (group * places.blocks + j) * b * b;
    float total = 0;
    for (int64_t u = 0; u < b; ++u) {
      total += matrix[t * stride_t + u * stride_u] * from[places.at(group, o, places.order[j * b + u], i)];
    }
    to[element] = total;
  });
}

void CudaBackend::rotate_backward(const RotationSpec& spec, const Tensor& x, const Tensor& dy, Tensor& dq) {
  const Places places{spec.outer(x.shape(), dq.shape()),
                      spec.pattern.size(),
                      spec.inner,
                      spec.pattern.block(),
                      spec.pattern.blocks(),
                      constant(spec.pattern.order()),
                      nullptr};
  const int64_t b = places.block;
  const bool transpose = spec.transpose;
  const float* from = x.data<float>();
  const float* given = dy.data<float>();
  float* to = dq.data<float>();
  for_rows<Sum>(
      stream(), dq.numel(), places.outer * places.inner,
      [=] GSNET_DEVICE(int64_t entry, int64_t column) {
        const int64_t first = entry / b % b, second = entry % b, block = entry / (b * b);
        const int64_t j = block % places.blocks, group = block / places.blocks;
        const int64_t t = transpose ? second : first, u = transpose ? first : second;
        const int64_t o = column / places.inner, i = column % places.inner;
        return static_cast<double>(given[places.at(group, o, places.order[j * b + t], i)]) *
               static_cast<double>(from[places.at(group, o, places.order[j * b + u], i)]);
      },
      [=] GSNET_DEVICE(int64_t entry, double total) { to[entry] = static_cast<float>(total); });
}

namespace {

/// Where entry (r, c), r < c, lies in a strict upper triangle.
GSNET_DEVICE inline int64_t in_triangle(int64_t block, int64_t r, int64_t c) {
  return r * block - r * (r + 1) / 2 + c - r - 1;
}

}  // namespace

void CudaBackend::skew_from_triangle(const Tensor& v, Tensor& k) {
  const int64_t b = k.shape()[1], numbers = b * (b - 1) / 2;
  const float* from = v.data<float>();
  float* to = k.data<float>();
  for_each(stream(), k.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t r = i / b % b, c = i % b, start = i / (b * b) * numbers;
    to[i] = r == c ? 0.0F : r < c ? from[start + in_triangle(b, r, c)] : -from[start + in_triangle(b, c, r)];
  });
}

void CudaBackend::skew_from_triangle_backward(const Tensor& dk, Tensor& dv) {
  const int64_t b = dk.shape()[1], numbers = b * (b - 1) / 2;
  const float* from = dk.data<float>();
  float* to = dv.data<float>();
  for_each(stream(), dk.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t r = i / b % b, c = i % b, block = i / (b * b);
    if (r < c) to[block * numbers + in_triangle(b, r, c)] = from[i] - from[(block * b + c) * b + r];
  });
}

void CudaBackend::scale_rows(const Tensor& x, const Tensor& s, Tensor& y) {
  if (s.numel() == 0) return;
  const int64_t columns = x.numel() / s.numel();
  const float* from = x.data<float>();
  const float* factor = s.data<float>();
  float* to = y.data<float>();
  for_each(stream(), x.numel(), [=] GSNET_DEVICE(int64_t i) { to[i] = factor[i / columns] * from[i]; });
}

void CudaBackend::scale_rows_backward(const Tensor& x, const Tensor& dy, Tensor& ds) {
  if (ds.numel() == 0) return;
  const int64_t columns = x.numel() / ds.numel();
  narrow(*runtime_, dots_of_rows(*runtime_, ds.numel(), columns, x.data<float>(), dy.data<float>()), ds);
}

}  // namespace gsnet::cuda
