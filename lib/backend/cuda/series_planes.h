// The fused series in single precision: every thread by itself.
#pragma once

#include "backend/cuda/series_parts.h"

namespace gsnet::cuda {

/// In single precision: a map is (channel, row, column) with a border of zeros; two maps. A thread sums kPixels x
/// kChannels outputs; its pixels are `lanes` apart, so that threads beside each other read pixels beside each other.
struct PlaneMap : GroupShape {
  using GroupShape::GroupShape;

  GSNET_ANYWHERE int64_t plane() const { return (height + 2 * high) * line(); }
  GSNET_ANYWHERE int64_t map() const { return m * plane(); }
  GSNET_ANYWHERE int64_t shared_floats() const { return 2 * map(); }
  template <int kPixels>
  GSNET_ANYWHERE int64_t lanes() const {
    return (pixels() + kPixels - 1) / kPixels;
  }
  template <int kPixels, int kChannels>
  GSNET_ANYWHERE int64_t tiles() const {
    return lanes<kPixels>() * ((m + kChannels - 1) / kChannels);
  }
};

/// Sums of one tile: J times the map `from`; taps of the group.
template <int kPixels, int kChannels>
struct TileSums {
  float of[kPixels][kChannels];

  GSNET_DEVICE TileSums(const PlaneMap& map, const float* from, const float* taps, int64_t tile) {
    const int64_t lanes = map.lanes<kPixels>(), first = tile / lanes * kChannels, lane = tile % lanes;
    int64_t corner[kPixels];
    for (int j = 0; j < kPixels; ++j) {
      const int64_t p = lane + j * lanes;
      corner[j] = map.inner(p < map.pixels() ? p : 0) - map.high * map.line() - map.wide;
      for (int o = 0; o < kChannels; ++o) of[j][o] = 0;
    }
    const int64_t count = map.m - first < kChannels ? map.m - first : kChannels;
    for (int64_t u = 0; u <= 2 * map.high; ++u) {
      for (int64_t v = 0; v <= 2 * map.wide; ++v) {
        const float* shifted = from + u * map.line() + v;
        for (int64_t i = 0; i < map.m; ++i, taps += map.m, shifted += map.plane()) {
          float weight[kChannels];
          for (int o = 0; o < kChannels; ++o) weight[o] = o < count ? taps[first + o] : 0.0F;
          for (int j = 0; j < kPixels; ++j) {
            const float value = shifted[corner[j]];
            for (int o = 0; o < kChannels; ++o) of[j][o] += value * weight[o];
          }
        }
      }
    }
  }

  /// body(pixel, channel, sum) for what lies inside the map.
  template <class Body>
  GSNET_DEVICE void each(const PlaneMap& map, int64_t tile, Body body) const {
    const int64_t lanes = map.lanes<kPixels>(), first = tile / lanes * kChannels, lane = tile % lanes;
    for (int j = 0; j < kPixels; ++j) {
      const int64_t p = lane + j * lanes;
      for (int o = 0; o < kChannels; ++o) {
        if (p < map.pixels() && first + o < map.m) body(p, first + o, of[j][o]);
      }
    }
  }
};

template <int kPixels, int kChannels, class Ends>
void run_planes(Runtime& runtime, const PlaneMap& map, const Tensor& k, const Ends& ends) {
  const Tensor arranged = taps_of<float>(runtime, k);
  const auto* taps = static_cast<const float*>(arranged.raw());
  const int64_t teams = map.images * map.groups();
  for_teams(runtime.stream(), teams, map.shared_floats(), [=] GSNET_DEVICE(Team team, int64_t index) {
    const int64_t image = index / map.groups(), group = index % map.groups();
    team.each(map.shared_floats(), [&](int64_t i) { team.shared[i] = 0; });
    team.each(map.m * map.pixels(), [&](int64_t i) {
      const int64_t c = i % map.m, p = i / map.m;
      team.shared[c * map.plane() + map.inner(p)] = ends.start(map.outer(image, group, p, c));
    });
    const float* own = taps + group * map.taps() * map.m * map.m;
    for (int step = 0; step < ends.steps(); ++step) {
      const float* before = team.shared + step % 2 * map.map();
      float* after = team.shared + (step + 1) % 2 * map.map();
      team.each(map.tiles<kPixels, kChannels>(), [&](int64_t tile) {
        TileSums<kPixels, kChannels>(map, before, own, tile).each(map, tile, [&](int64_t p, int64_t c, float sum) {
          const float next = ends.next(step, map.outer(image, group, p, c), sum);
          if (step + 1 < ends.steps()) after[c * map.plane() + map.inner(p)] = next;
        });
      });
    }
  });
}

}  // namespace gsnet::cuda
