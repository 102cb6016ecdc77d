// The weight gradient of a series: a matrix product over terms, pixels and lanes for each tap, run of output channels
// and block of input channels, its sums in registers over as many pixels as keep their data in the first-level cache.
#pragma once

#include "backend/cpu/series_conv.inc.h"

namespace gsnet::cpu::GSNET_ISA {

/// Pixels (rows x columns) of the outputs that a tap connects to pixels inside the picture.
struct GradientTile {
  const SeriesGeometry* geometry;
  const GradientStep* step;
  int64_t first_channel;  ///< of the run
  int64_t column_offset;  ///< of the column block
  int64_t out_pixel, in_pixel;
  int64_t rows, columns;
  float* to;
  bool accumulate;
};

/// Assigns or adds the sums of a tile's independent parts.
template <int kSplit, int kRun, int kWide>
static inline void put_sums(const GradientTile& t, const Vector (&sum)[kSplit][kRun][kWide]) {
#pragma GCC unroll 16
  for (int o = 0; o < kRun; ++o) {
#pragma GCC unroll 2
    for (int v = 0; v < kWide; ++v) {
      float* to = t.to + (o * kWide + v) * kVector;
      Vector total = sum[0][o][v];
#pragma GCC unroll 4
      for (int k = 1; k < kSplit; ++k) total += sum[k][o][v];
      store(to, t.accumulate ? load(to) + total : total);
    }
  }
}

template <int kRun, int kWide>
static void gradient_tile(const GradientTile& t) {
  constexpr int kSplit = kAccumulators / (kRun * kWide) > 3 ? 4 : kAccumulators / (kRun * kWide) > 1 ? 2 : 1;
  constexpr int64_t kColumns = kWide * kVector;
  const SeriesGeometry& g = *t.geometry;
  const int64_t lanes = t.step->vectors * kVector;

  Vector sum[kSplit][kRun][kWide] = {};
  for (int64_t term = 0; term < t.step->terms; ++term) {
    for (int64_t row = 0; row < t.rows; ++row) {
      const float* a = t.step->a[term] + ((t.out_pixel + row * g.width) * g.channels + t.first_channel) * lanes;
      const float* in = t.step->columns[term] + t.column_offset + (t.in_pixel + row * g.width) * lanes * kColumns;
      for (int64_t column = 0; column < t.columns; ++column) {
        for (int64_t lane = 0; lane < lanes; lane += kSplit) {
#pragma GCC unroll 4
          for (int k = 0; k < kSplit; ++k) {
            Vector value[kWide];
#pragma GCC unroll 2
            for (int v = 0; v < kWide; ++v) value[v] = load(in + k * kColumns + v * kVector);
#pragma GCC unroll 16
            for (int o = 0; o < kRun; ++o) {
              const Vector factor = fill(a[o * lanes + lane + k]);
#pragma GCC unroll 2
              for (int v = 0; v < kWide; ++v) sum[k][o][v] = multiply_add(factor, value[v], sum[k][o][v]);
            }
          }
          in += kSplit * kColumns;
        }
        a += g.channels * lanes;
      }
    }
  }
  put_sums(t, sum);
}

using GradientTileFunction = void (*)(const GradientTile&);

template <int kWide>
struct GradientTilesOf {
  using Function = GradientTileFunction;
  template <int kRun>
  static constexpr Function of = gradient_tile<kRun, kWide>;
};
template <int kWide>
using GradientTiles = EveryRun<GradientTilesOf<kWide>>;

/// Outputs `at` in [begin, end) whose input at + shift lies in [0, extent).
static inline TapRange outputs_inside(int64_t begin, int64_t end, int64_t extent, int64_t shift) {
  const int64_t low = begin > -shift ? begin : -shift, high = end < extent - shift ? end : extent - shift;
  return {low, high > low ? high : low};
}

/// The functions of every run for column blocks of one vector and of two.
struct GradientFunctions {
  const GradientTileFunction *one, *two;
};

/// All taps of one run and column block over rows [first, last) of the picture.
static void gradient_rows(const GradientFunctions& of, const SeriesGeometry& g, const GradientStep& s, int64_t block,
                          int64_t run, int64_t first, int64_t last) {
  const int64_t lanes = s.vectors * kVector, in_begin = block * 2 * kVector;
  const int64_t wide = g.columns - in_begin > kVector ? 2 : 1;
  const int64_t first_channel = run_begin(g, run), run_size = run_begin(g, run + 1) - first_channel;
  GradientTile tile = {&g, &s, first_channel, in_begin * pixels_of(g) * lanes, 0, 0,
                       0,  0,  nullptr,       s.accumulate || first > 0};
  float* to = s.gradient + (in_begin * g.channels + first_channel * wide * kVector) * taps_of(g);
  const GradientTileFunction* function = (wide == 2 ? of.two : of.one) + run_size - 1;
  for (int64_t row = 0; row < g.kernel_height; ++row) {
    const int64_t down = row - g.kernel_height / 2;
    const TapRange rows = outputs_inside(first, last, g.height, down);
    for (int64_t column = 0; column < g.kernel_width; ++column) {
      const int64_t right = column - g.kernel_width / 2;
      const TapRange columns = outputs_inside(0, g.width, g.width, right);
      tile.rows = rows.end - rows.begin;
      tile.columns = columns.end - columns.begin;
      tile.out_pixel = rows.begin * g.width + columns.begin;
      tile.in_pixel = (rows.begin + down) * g.width + columns.begin + right;
      tile.to = to + (row * g.kernel_width + column) * run_size * wide * kVector;
      if (tile.rows * tile.columns > 0 || !tile.accumulate) (*function)(tile);
    }
  }
}

static void gradient_by(const GradientFunctions& of, const SeriesGeometry& g, const GradientStep& s) {
  for (int64_t first = 0; first < g.height; first += g.rows_at_once) {
    const int64_t last = first + g.rows_at_once < g.height ? first + g.rows_at_once : g.height;
    for (int64_t i = s.begin; i < s.end; ++i) gradient_rows(of, g, s, i / g.runs, i % g.runs, first, last);
  }
}

[[maybe_unused]] static void gradient(const SeriesGeometry& g, const GradientStep& s) {
  gradient_by({GradientTiles<1>::of, GradientTiles<2>::of}, g, s);
}

}  // namespace gsnet::cpu::GSNET_ISA
