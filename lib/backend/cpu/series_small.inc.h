// The weight gradient of groups that fill at most half a vector: sums stay spread over the images of a vector, so that
// no place of it is empty and nothing is transposed, and are added up at the very end.
#pragma once

#include "backend/cpu/series_gradient.inc.h"

namespace gsnet::cpu::GSNET_ISA {

constexpr int64_t kMostSmallChannels = kVector / 2;
// Channels out by channels in at once: their sums, a row of channels in and one more are in registers.
constexpr int kSmallOut = 4, kSmallIn = kAccumulators > 12 ? 4 : 3;

struct SmallTile {
  const float* a;  ///< the first channel of the first pixel, each
  const float* u;
  int64_t pixels, pixel_floats, lanes, channels;
  float* sums;  ///< (out, in), a vector each
};

template <int kOut, int kIn>
static void small_tile(const SmallTile& t) {
  Vector sum[kOut][kIn];
#pragma GCC unroll 4
  for (int o = 0; o < kOut; ++o) {
#pragma GCC unroll 4
    for (int i = 0; i < kIn; ++i) sum[o][i] = load(t.sums + (o * t.channels + i) * kVector);
  }
  for (int64_t lane = 0; lane < t.lanes; lane += kVector) {
    const float* a = t.a + lane;
    const float* u = t.u + lane;
    for (int64_t pixel = 0; pixel < t.pixels; ++pixel, a += t.pixel_floats, u += t.pixel_floats) {
      Vector in[kIn];
#pragma GCC unroll 4
      for (int i = 0; i < kIn; ++i) in[i] = load(u + i * t.lanes);
#pragma GCC unroll 4
      for (int o = 0; o < kOut; ++o) {
        const Vector out = load(a + o * t.lanes);
#pragma GCC unroll 4
        for (int i = 0; i < kIn; ++i) sum[o][i] = multiply_add(out, in[i], sum[o][i]);
      }
    }
  }
#pragma GCC unroll 4
  for (int o = 0; o < kOut; ++o) {
#pragma GCC unroll 4
    for (int i = 0; i < kIn; ++i) store(t.sums + (o * t.channels + i) * kVector, sum[o][i]);
  }
}

using SmallTileFunction = void (*)(const SmallTile&);
static constexpr SmallTileFunction kSmallTiles[kSmallOut][4] = {
    {small_tile<1, 1>, small_tile<1, 2>, small_tile<1, 3>, small_tile<1, 4>},
    {small_tile<2, 1>, small_tile<2, 2>, small_tile<2, 3>, small_tile<2, 4>},
    {small_tile<3, 1>, small_tile<3, 2>, small_tile<3, 3>, small_tile<3, 4>},
    {small_tile<4, 1>, small_tile<4, 2>, small_tile<4, 3>, small_tile<4, 4>}};

/// All channels of what a tile is of one block of.
static void small_tiles(const SeriesGeometry& g, const SmallTile& all) {
  for (int64_t o = 0; o < g.channels; o += kSmallOut) {
    const int64_t outs = smaller(g.channels - o, kSmallOut);
    for (int64_t i = 0; i < g.channels; i += kSmallIn) {
      SmallTile tile = all;
      tile.a += o * all.lanes;
      tile.u += i * all.lanes;
      tile.sums += (o * g.channels + i) * kVector;
      kSmallTiles[outs - 1][smaller(g.channels - i, kSmallIn) - 1](tile);
    }
  }
}

/// One row of outputs and one tap.
static void small_row(const SeriesGeometry& g, const SmallGradientStep& s, int64_t row, int64_t tap, float* sums) {
  const int64_t down = tap / g.kernel_width - g.kernel_height / 2, right = tap % g.kernel_width - g.kernel_width / 2;
  const TapRange columns = outputs_inside(0, g.width, g.width, right);
  if (row + down < 0 || row + down >= g.height || columns.begin >= columns.end) return;
  const int64_t lanes = s.vectors * kVector, pixel_floats = g.channels * lanes;
  const float* a = s.a + (row * g.width + columns.begin) * pixel_floats;
  const float* u = s.u + ((row + down) * g.width + columns.begin + right) * pixel_floats;
  small_tiles(g, {a, u, columns.end - columns.begin, pixel_floats, lanes, g.channels, sums});
}

static inline float total(Vector v) {
  float sum = 0;
  for (int64_t lane = 0; lane < kVector; ++lane) sum += v[lane];
  return sum;
}

/// See SeriesKernels. Rows come first, so that their pixels stay in the first-level cache for all taps.
static void small_gradient(const SeriesGeometry& g, const SmallGradientStep& s) {
  const int64_t square = g.channels * g.channels;
  float sums[kMostSmallTaps * kMostSmallChannels * kMostSmallChannels * kVector] = {};
  for (int64_t row = 0; row < g.height; ++row) {
    for (int64_t tap = s.begin; tap < s.end; ++tap) {
      small_row(g, s, row, tap, sums + (tap - s.begin) * square * kVector);
    }
  }
  for (int64_t tap = s.begin; tap < s.end; ++tap) {
    const float* from = sums + (tap - s.begin) * square * kVector;
    for (int64_t run = 0; run < g.runs; ++run) {
      const int64_t first = run_begin(g, run), size = run_begin(g, run + 1) - first;
      float* to = s.gradient + (first * taps_of(g) + tap * size) * kVector;
      for (int64_t o = 0; o < size; ++o) {
        for (int64_t i = 0; i < g.channels; ++i) {
          float* at = to + o * kVector + i;
          const float sum = s.scale * total(load(from + ((first + o) * g.channels + i) * kVector));
          *at = s.accumulate ? *at + sum : sum;
        }
      }
    }
  }
}

}  // namespace gsnet::cpu::GSNET_ISA
