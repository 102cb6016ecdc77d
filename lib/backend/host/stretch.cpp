// A round of power iteration by a convolution, as products of its kernel with the patches of a map.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/host/host_backend.h"
#include "backend/host/parallel.h"

namespace gsnet::host {
namespace {

/// patches[channel's group][pixel][channel of the group][tap] of v (C, H, W), zeros outside the picture.
template <class T>
std::vector<T> patches_of(int threads, const Tensor& v, const Shape& k) {
  const int64_t high = v.shape()[1], wide = v.shape()[2], pixels = high * wide, m = k[1];
  const int64_t down = k[2] / 2, right = k[3] / 2, taps = k[2] * k[3];
  std::vector<T> patches(static_cast<size_t>(v.numel() * taps));
  parallel_for(threads, v.shape()[0], pixels * taps, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const T* from = v.data<T>() + c * pixels;
      T* to = patches.data() + (c / m * pixels * m + c % m) * taps;
      for (int64_t y = 0; y < high; ++y) {
        for (int64_t x = 0; x < wide; ++x, to += m * taps) {
          T* tap = to;
          for (int64_t row = y - down; row <= y + down; ++row) {
            for (int64_t column = x - right; column <= x + right; ++column) {
              const bool inside = row >= 0 && row < high && column >= 0 && column < wide;
              *tap++ = inside ? from[row * wide + column] : T{0};
            }
          }
        }
      }
    }
  });
  return patches;
}

template <class T>
double length(const T* values, int64_t count) {
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) squares += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return std::sqrt(squares);
}

}  // namespace

template <class T>
void HostKernelNorm<T>::stretch(const Tensor& k, int64_t groups, const Tensor& v, Tensor& u, Tensor& s) {
  const int64_t m = k.shape()[1], size = v.numel() / groups, pixels = size / m, columns = k.numel() / groups / m;
  const std::vector<T> patches = patches_of<T>(this->threads(), v, k.shape());
  this->gemm({groups, m, pixels, columns, false, true}, k.data<T>(), patches.data(), u.data<T>());
  for (int64_t group = 0; group < groups; ++group) {
    const T* before = v.data<T>() + group * size;
    T* after = u.data<T>() + group * size;
    const double moved = length(after, size), start = length(before, size);
    s.data<T>()[group] = static_cast<T>(start > 0 ? moved / start : 0);
    for (int64_t i = 0; i < size; ++i) after[i] = moved > 0 ? static_cast<T>(after[i] / moved) : before[i];
  }
}

template <class T>
void HostKernelNorm<T>::stretch_backward(const Tensor& v, const Tensor& u, const Tensor& ds, Tensor& dk) {
  const int64_t groups = ds.numel(), m = dk.shape()[1], size = v.numel() / groups, pixels = size / m;
  const std::vector<T> patches = patches_of<T>(this->threads(), v, dk.shape());
  std::vector<T> scaled(static_cast<size_t>(u.numel()));
  for (int64_t i = 0; i < u.numel(); ++i) {
    scaled[static_cast<size_t>(i)] = u.data<T>()[i] * ds.data<T>()[i / size];
  }
  this->gemm({groups, m, dk.numel() / groups / m, pixels}, scaled.data(), patches.data(), dk.data<T>());
}

template void HostKernelNorm<float>::stretch(const Tensor&, int64_t, const Tensor&, Tensor&, Tensor&);
template void HostKernelNorm<double>::stretch(const Tensor&, int64_t, const Tensor&, Tensor&, Tensor&);
template void HostKernelNorm<float>::stretch_backward(const Tensor&, const Tensor&, const Tensor&, Tensor&);
template void HostKernelNorm<double>::stretch_backward(const Tensor&, const Tensor&, const Tensor&, Tensor&);

}  // namespace gsnet::host
