// A round of power iteration by a convolution, as products of its kernel with the patches of a map.
#include <cmath>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/loops.h"

namespace gsnet::cuda {
namespace {

struct Patches {
  int64_t m, high, wide, kernel_high, kernel_wide;
  const float* v;

  /// Of patches (groups, pixels, m, taps).
  GSNET_DEVICE float at(int64_t index) const {
    const int64_t taps = kernel_high * kernel_wide, pixels = high * wide, tap = index % taps;
    const int64_t channel = index / taps % m, pixel = index / (taps * m) % pixels, group = index / (taps * m * pixels);
    const int64_t row = pixel / wide + tap / kernel_wide - kernel_high / 2;
    const int64_t column = pixel % wide + tap % kernel_wide - kernel_wide / 2;
    const bool inside = row >= 0 && row < high && column >= 0 && column < wide;
    return inside ? v[((group * m + channel) * high + row) * wide + column] : 0.0F;
  }
};

void take_patches(Stream stream, const Tensor& v, const Shape& k, Tensor& patches) {
  const Patches from = {k[1], v.shape()[1], v.shape()[2], k[2], k[3], v.data<float>()};
  float* to = patches.data<float>();
  for_each(stream, patches.numel(), [=] GSNET_DEVICE(int64_t i) { to[i] = from.at(i); });
}

}  // namespace

void CudaBackend::stretch(const Tensor& k, int64_t groups, const Tensor& v, Tensor& u, Tensor& s) {
  const int64_t m = k.shape()[1], size = v.numel() / groups, pixels = size / m, columns = k.numel() / groups / m;
  Tensor patches = scratch({groups, pixels, columns}), moved = scratch({groups, m, pixels});
  take_patches(stream(), v, k.shape(), patches);
  matmul(k.view({groups, m, columns}), false, patches, true, moved);
  const float *to = moved.data<float>(), *from = v.data<float>();
  float *unit = u.data<float>(), *stretched = s.data<float>();
  for_rows<TwoSums>(
      stream(), groups, size,
      [=] GSNET_DEVICE(int64_t g, int64_t i) {
        const double after = to[g * size + i], before = from[g * size + i];
        return TwoSums::Value{after * after, before * before};
      },
      [=] GSNET_DEVICE(int64_t g, const TwoSums::Value& squares) {
        stretched[g] = static_cast<float>(squares.second > 0 ? sqrt(squares.first) / sqrt(squares.second) : 0);
      },
      [=] GSNET_DEVICE(int64_t g, int64_t column, const TwoSums::Value& squares) {
        const int64_t i = g * size + column;
        const double length = sqrt(squares.first);
        unit[i] = length > 0 ? static_cast<float>(static_cast<double>(to[i]) / length) : from[i];
      });
}

void CudaBackend::stretch_backward(const Tensor& v, const Tensor& u, const Tensor& ds, Tensor& dk) {
  const int64_t groups = ds.numel(), m = dk.shape()[1], size = v.numel() / groups, pixels = size / m;
  const int64_t columns = dk.numel() / groups / m;
  Tensor patches = scratch({groups, pixels, columns}), scaled = scratch({groups, m, pixels});
  take_patches(stream(), v, dk.shape(), patches);
  const float *unit = u.data<float>(), *given = ds.data<float>();
  float* to = scaled.data<float>();
  for_each(stream(), u.numel(), [=] GSNET_DEVICE(int64_t i) { to[i] = unit[i] * given[i / size]; });
  Tensor gradient = dk.view({groups, m, columns});
  matmul(scaled, false, patches, false, gradient);
}

}  // namespace gsnet::cuda
