// What all fused forms of the series share: where numbers lie, and what a step makes of its sums.
#pragma once

#include "backend/cuda/loops.h"
#include "backend/cuda/runtime.h"

namespace gsnet::cuda {

constexpr int kMostTerms = 32;

/// Factors of the recurrence, one a term.
struct Factors {
  float of[kMostTerms];
};

/// What the forward pass makes of the sums J u of n neighbouring channels, from `at` in device memory on, `channel` the
/// first of them, and of what it starts from. What is read of device memory comes first, for several places at once.
struct ForwardEnds {
  const float* x;
  const float* bias;
  float* y;
  float* kept;
  float last;
  Factors factors;
  int degree;
  int64_t size;

  GSNET_ANYWHERE int steps() const { return degree; }
  template <int n>
  GSNET_DEVICE Run<n> given(int64_t at) const {
    return run_at<n>(x + at);
  }
  template <int n>
  GSNET_DEVICE Run<n> start(int64_t at, const Run<n>& of_x) const {
    if (kept != nullptr && kept != x) put_run(kept + at, of_x);
    return of_x;
  }
  template <int n>
  GSNET_DEVICE Run<n> before(int64_t at) const {
    return run_at<n>(x + at);
  }
  template <int n>
  GSNET_DEVICE Run<n> next(int step, int64_t at, int channel, const Run<n>& of_x, const Run<n>& sums) const {
    Run<n> u;
    GSNET_UNROLL
    for (int e = 0; e < n; ++e) u.of[e] = of_x.of[e] + factors.of[step] * sums.of[e];
    if (step + 1 < degree) {
      if (kept != nullptr) put_run(kept + (step + 1) * size + at, u);
      return u;
    }
    Run<n> result;
    GSNET_UNROLL
    for (int e = 0; e < n; ++e) {
      result.of[e] = rounded_product(last, u.of[e]);
      if (bias != nullptr) result.of[e] += bias[channel + e];
    }
    put_run(y + at, result);
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
  template <int n>
  GSNET_DEVICE Run<n> given(int64_t at) const {
    return run_at<n>(dy + at);
  }
  template <int n>
  GSNET_DEVICE Run<n> start(int64_t at, const Run<n>& of_dy) const {
    Run<n> g, result;
    GSNET_UNROLL
    for (int e = 0; e < n; ++e) {
      g.of[e] = second * of_dy.of[e];
      result.of[e] = first * of_dy.of[e];
    }
    if (kept != nullptr) put_run(kept + (degree - 1) * size + at, g);
    if (dx != nullptr) put_run(dx + at, result);
    return g;
  }
  template <int n>
  GSNET_DEVICE Run<n> before(int64_t at) const {
    return dx != nullptr ? run_at<n>(dx + at) : Run<n>{};
  }
  template <int n>
  GSNET_DEVICE Run<n> next(int step, int64_t at, int, const Run<n>& of_dx, const Run<n>& sums) const {
    if (dx != nullptr) {
      Run<n> result;
      GSNET_UNROLL
      for (int e = 0; e < n; ++e) result.of[e] = of_dx.of[e] - sums.of[e];
      put_run(dx + at, result);
    }
    Run<n> g;
    GSNET_UNROLL
    for (int e = 0; e < n; ++e) g.of[e] = factors.of[step] * sums.of[e];
    if (kept != nullptr && step + 1 < degree) put_run(kept + (degree - 2 - step) * size + at, g);
    return g;
  }
};

/// A convolution by groups in the numbers that kernels reckon with, all of which fit 32 bits (fits).
struct GroupShape {
  int images, channels, m, height, width, high, wide;  ///< m channels a group; taps up and to the left

  GroupShape(const Shape& x, const Shape& k)
      : images(static_cast<int>(x[0])),
        channels(static_cast<int>(x[1])),
        m(static_cast<int>(k[1])),
        height(static_cast<int>(x[2])),
        width(static_cast<int>(x[3])),
        high(static_cast<int>(k[2] / 2)),
        wide(static_cast<int>(k[3] / 2)) {}
  static bool fits(const Shape& x, const Shape& k) {
    constexpr int64_t kMost = 0x7fffffff;
    return x[0] <= kMost && x[1] * x[2] * x[3] <= kMost && x[3] <= kMost / 64 && k[1] * k[1] * k[2] * k[3] <= kMost / 2;
  }

  GSNET_ANYWHERE int groups() const { return channels / m; }
  GSNET_ANYWHERE int pixels() const { return height * width; }
  GSNET_ANYWHERE int line_taps() const { return 2 * wide + 1; }
  GSNET_ANYWHERE int taps() const { return (2 * high + 1) * line_taps(); }
};

/// What teams of the fused series have: a group's channels of `together` images at once.
struct TeamShape : GroupShape {
  int together = 1;

  using GroupShape::GroupShape;

  int64_t teams() const { return int64_t{(images - 1) / together + 1} * groups(); }
  /// Of the group's first channel of an image's first pixel, in device memory.
  GSNET_DEVICE int64_t start(int image, int group) const { return int64_t{image} * pixels() * channels + group * m; }
};

/// Which images and group a team has.
struct TeamPlace {
  int group, first, images;

  GSNET_DEVICE TeamPlace(const TeamShape& s, int64_t team)
      : group(static_cast<int>(team % s.groups())),
        first(static_cast<int>(team / s.groups()) * s.together),
        images(s.images - first < s.together ? s.images - first : s.together) {}
};

/// Run i of a team's numbers, `run` channels each: image of the team, row, column and first channel, and in device
/// memory.
struct RunPlace {
  int of, row, column, channel;
  int64_t at;

  GSNET_DEVICE RunPlace(const TeamShape& s, const TeamPlace& team, int run, int i) {
    const int runs = s.m / run, p = i / runs % s.pixels();
    of = i / (runs * s.pixels());
    row = p / s.width;
    column = p % s.width;
    channel = i % runs * run;
    at = s.start(team.first + of, team.group) + int64_t{p} * s.channels + channel;
  }
};

}  // namespace gsnet::cuda
