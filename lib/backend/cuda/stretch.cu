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

void lengths(Stream stream, const Tensor& x, Tensor& length) {
  const int64_t groups = length.numel(), size = x.numel() / groups;
  const float* from = x.data<float>();
  double* to = length.data<double>();
  for_rows<Sum>(
      stream, groups, size,
      [=] GSNET_DEVICE(int64_t g, int64_t i) {
        const double value = from[g * size + i];
        return value * value;
      },
      [=] GSNET_DEVICE(int64_t g, double total) { to[g] = sqrt(total); });
}

}  // namespace

void CudaBackend::stretch(const Tensor& k, int64_t groups, const Tensor& v, Tensor& u, Tensor& s) {
  const int64_t m = k.shape()[1], size = v.numel() / groups, pixels = size / m, columns = k.numel() / groups / m;
  Tensor patches = scratch({groups, pixels, columns}), moved = scratch({groups, m, pixels});
  take_patches(stream(), v, k.shape(), patches);
  matmul(k.view({groups, m, columns}), false, patches, true, moved);
  Tensor after = scratch({groups}, DType::f64), before = scratch({groups}, DType::f64);
  lengths(stream(), moved, after);
  lengths(stream(), v, before);
  const double *to_length = after.data<double>(), *from_length = before.data<double>();
  const float *to = moved.data<float>(), *from = v.data<float>();
  float *unit = u.data<float>(), *stretched = s.data<float>();
  for_each(stream(), u.numel(), [=] GSNET_DEVICE(int64_t i) {
    const double length = to_length[i / size];
    unit[i] = length > 0 ? static_cast<float>(static_cast<double>(to[i]) / length) : from[i];
  });
  for_each(stream(), groups, [=] GSNET_DEVICE(int64_t g) {
    stretched[g] = static_cast<float>(from_length[g] > 0 ? to_length[g] / from_length[g] : 0);
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
