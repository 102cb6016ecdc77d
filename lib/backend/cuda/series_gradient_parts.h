// What both forms of the gradient of a series' kernel share: which team sums what, and how parts are added up.
#pragma once

#include <algorithm>

#include "backend/cuda/loops.h"
#include "backend/cuda/runtime.h"

namespace gsnet::cuda {

/// A team has `outs` of g's channels by `ins` of u's, of one group, and some of the stripes: `band` rows of an image.
struct GradientShape {
  int images, channels, m, height, width, high, wide;  ///< m channels a group; taps up and to the left
  int outs = 0, ins = 0;
  int band = 0, together = 1;  ///< rows of a stripe, stripes in shared memory at once
  int splits = 1;              ///< of what is there, threads of their own each
  int parts = 1;               ///< of all stripes, teams of their own each

  GradientShape(const Shape& u, const Shape& k)
      : images(static_cast<int>(u[0])),
        channels(static_cast<int>(u[1])),
        m(static_cast<int>(k[1])),
        height(static_cast<int>(u[2])),
        width(static_cast<int>(u[3])),
        high(static_cast<int>(k[2] / 2)),
        wide(static_cast<int>(k[3] / 2)),
        band(height) {}
  static bool fits(const Shape& u, const Shape& k) {
    constexpr int64_t kMost = 0x7fffffff;
    return u[0] <= kMost && u[1] * u[2] * u[3] <= kMost && k[1] * k[1] * k[2] * k[3] <= kMost && u[3] <= kMost / 64;
  }

  GSNET_ANYWHERE int groups() const { return channels / m; }
  GSNET_ANYWHERE int blocks_out() const { return (m + outs - 1) / outs; }
  GSNET_ANYWHERE int blocks() const { return blocks_out() * ((m + ins - 1) / ins); }
  GSNET_ANYWHERE int line_taps() const { return 2 * wide + 1; }
  GSNET_ANYWHERE int taps() const { return (2 * high + 1) * line_taps(); }
  /// Neighbouring taps of a row that are summed together.
  GSNET_ANYWHERE int taps_together() const { return wide == 1 ? 3 : 1; }
  GSNET_ANYWHERE int bands() const { return (height + band - 1) / band; }
  GSNET_ANYWHERE int64_t stripes() const { return int64_t{images} * bands(); }
  int64_t teams() const { return int64_t{parts} * groups() * blocks(); }

  /// As many parts as keep a device busy: two teams a processor of the largest. The same on all devices, so that they
  /// give the same bits.
  void choose_parts() {
    constexpr int64_t kTeams = 264;
    const int64_t most = std::max<int64_t>(1, stripes() / together);
    parts = static_cast<int>(std::clamp<int64_t>(kTeams / (int64_t{groups()} * blocks()), 1, most));
  }
};

/// What a team has of everything.
struct GradientPlace {
  int group, out, in;         ///< first channels of its block
  int64_t part, first, last;  ///< stripes

  GSNET_DEVICE GradientPlace(const GradientShape& s, int64_t team) {
    const int block = static_cast<int>(team % s.blocks());
    group = static_cast<int>(team / s.blocks() % s.groups());
    out = block % s.blocks_out() * s.outs;
    in = block / s.blocks_out() * s.ins;
    part = team / (int64_t{s.blocks()} * s.groups());
    first = s.stripes() * part / s.parts;
    last = s.stripes() * (part + 1) / s.parts;
  }
  /// Of those from `stripe` on, what is in shared memory at once.
  GSNET_DEVICE int count(const GradientShape& s, int64_t stripe) const {
    return static_cast<int>(last - stripe < s.together ? last - stripe : s.together);
  }
};

/// (parts; C, C/g, taps): a number of a part.
GSNET_DEVICE inline int64_t in_part(const GradientShape& s, const GradientPlace& at, int o, int i, int tap) {
  return (((at.part * s.groups() + at.group) * s.m + o) * s.m + i) * s.taps() + tap;
}

/// dk = the sum of the parts, in order.
inline void add_up(Runtime& runtime, const Tensor& parts, Tensor& dk) {
  const float* from = parts.data<float>();
  float* to = dk.data<float>();
  const int64_t size = dk.numel(), count = parts.shape()[0];
  for_each(runtime.stream(), size, [=] GSNET_DEVICE(int64_t i) {
    double total = 0;
    for (int64_t part = 0; part < count; ++part) total += static_cast<double>(from[part * size + i]);
    to[i] = static_cast<float>(total);
  });
}

}  // namespace gsnet::cuda
