// What all fused forms of the series share: where numbers lie, and what a step makes of its sums.
#pragma once

#include "backend/cuda/loops.h"
#include "backend/cuda/runtime.h"
#include "backend/cuda/warp_product.h"

namespace gsnet::cuda {

constexpr int kMostTerms = 32;

/// Factors of the recurrence, one a term.
struct Factors {
  float of[kMostTerms];
};

/// What the forward pass makes of the sums J u at a place, in device memory, and of what it starts from.
struct ForwardEnds {
  const float* x;
  float* y;
  float* kept;
  float last;
  Factors factors;
  int degree;
  int64_t size;

  GSNET_ANYWHERE int steps() const { return degree; }
  GSNET_DEVICE float start(int64_t at) const {
    if (kept != nullptr) kept[at] = x[at];
    return x[at];
  }
  GSNET_DEVICE float next(int step, int64_t at, float sum) const {
    const float u = x[at] + factors.of[step] * sum;
    if (step + 1 == degree) {
      y[at] = last * u;
    } else if (kept != nullptr) {
      kept[(step + 1) * size + at] = u;
    }
    return u;
  }
};

/// The backward pass, likewise.
struct BackwardEnds {
  const float* dy;
  float* dx;
  float* kept;
  float first, second;
  Factors factors;
  int degree;
  int64_t size;

  GSNET_ANYWHERE int steps() const { return dx != nullptr ? degree : degree - 1; }
  GSNET_DEVICE float start(int64_t at) const {
    const float g = second * dy[at];
    if (kept != nullptr) kept[(degree - 1) * size + at] = g;
    if (dx != nullptr) dx[at] = first * dy[at];
    return g;
  }
  GSNET_DEVICE float next(int step, int64_t at, float sum) const {
    if (dx != nullptr) dx[at] -= sum;
    const float g = factors.of[step] * sum;
    if (kept != nullptr && step + 1 < degree) kept[(degree - 2 - step) * size + at] = g;
    return g;
  }
};

/// A group's channels of a picture.
struct GroupShape {
  int64_t images, channels, m, height, width, high, wide;  ///< m channels a group; taps up and to the left

  GroupShape(const Shape& x, const Shape& k)
      : images(x[0]), channels(x[1]), m(k[1]), height(x[2]), width(x[3]), high(k[2] / 2), wide(k[3] / 2) {}

  GSNET_ANYWHERE int64_t groups() const { return channels / m; }
  GSNET_ANYWHERE int64_t pixels() const { return height * width; }
  GSNET_ANYWHERE int64_t taps() const { return (2 * high + 1) * (2 * wide + 1); }
  GSNET_ANYWHERE int64_t line() const { return width + 2 * wide; }
  /// Of pixel p in a plane with borders.
  GSNET_DEVICE int64_t inner(int64_t p) const { return (p / width + high) * line() + p % width + wide; }
  /// Of channel c of pixel p in device memory.
  GSNET_DEVICE int64_t outer(int64_t image, int64_t group, int64_t p, int64_t c) const {
    return (image * pixels() + p) * channels + group * m + c;
  }
};

/// Kernels (g; tap, in, out) as numbers that are multiplied, so that output channels are neighbours.
template <class Number>
Tensor taps_of(Runtime& runtime, const Tensor& k) {
  Tensor made =
      Tensor::empty({k.numel() * static_cast<int64_t>(sizeof(Number))}, DType::u8, Layout::row_major, runtime.memory());
  const int64_t m = k.shape()[1], taps = k.shape()[2] * k.shape()[3];
  const float* from = k.data<float>();
  auto* to = static_cast<Number*>(made.raw());
  for_each(runtime.stream(), k.numel(), [=] GSNET_DEVICE(int64_t e) {
    const int64_t o = e % m, i = e / m % m, tap = e / (m * m) % taps, group = e / (m * m * taps);
    put(to[e], from[((group * m + o) * m + i) * taps + tap]);
  });
  return made;
}

}  // namespace gsnet::cuda
