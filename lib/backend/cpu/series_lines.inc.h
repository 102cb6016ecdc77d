// 3x3 convolutions with fewer multiplications along the rows of the picture only, for groups of few channels, whose
// transforms along both axes would cost more than the products that they save: a tile is four pixels of a row, by 18
// products over channels instead of 36. Forward goes row by row, two tiles at a time, and keeps the frequencies of the
// three rows that an output needs; the gradient goes through strips of tiles, so that those of one frequency of both
// factors stay in the first-level cache.
#pragma once

#include "backend/cpu/series_pixels.inc.h"
#include "backend/cpu/series_small.inc.h"
#include "backend/cpu/series_tiles.inc.h"

namespace gsnet::cpu::GSNET_ISA {

constexpr int64_t kLineRows = 3;     // of the kernel
constexpr int64_t kPlaneTiles = 32;  // of one frequency that stay in the first-level cache

/// Where the frequencies of a tile's row go, channel after channel.
struct LinePlace {
  float* to;
  int64_t channel_stride, frequency_stride;
};

/// A row of a tile: `from` the first vector of the window's first pixel.
struct LineWindow {
  const float* from;
  int64_t channels, lanes, pixel_stride;
  int64_t begin, end;  ///< the pixels of the window that are inside
};

template <class Form>
static inline void put_line(const Vector* frequencies, float* to, int64_t stride) {
#pragma GCC unroll 6
  for (int f = 0; f < Form::kProducts; ++f) store(to + f * stride, frequencies[f]);
}

/// kLeft, kRight: how many of the window's first and last pixels are outside; -1: as the window says.
template <class Form, int kLeft, int kRight>
[[gnu::always_inline]] static inline void spread_line(const LineWindow w, LinePlace place) {
  for (int64_t c = 0; c < w.channels; ++c, place.to += place.channel_stride) {
    const float* from = w.from + c * w.lanes;
    Vector d[Form::kInputs] = {}, v[Form::kProducts];
    if constexpr (kLeft < 0) {
      for (int64_t i = w.begin; i < w.end; ++i) d[i] = load(from + i * w.pixel_stride);
    } else {
#pragma GCC unroll 6
      for (int i = kLeft; i < Form::kInputs - kRight; ++i) d[i] = load(from + i * w.pixel_stride);
    }
    Form::input(d, v);
    put_line<Form>(v, place.to, place.frequency_stride);
  }
}

/// Row `row` of tile `tile` of a block's vector u[pixel][channel].
template <class Form>
[[gnu::always_inline]] static inline void spread_tile_row(const SeriesGeometry& g, const float* u, int64_t lanes,
                                                          int64_t row, int64_t tile, LinePlace place) {
  const int64_t pixel_floats = g.channels * lanes, first = tile * Form::kOutputs - Form::kBefore;
  const int64_t over = first + Form::kInputs - g.width;
  const LineWindow w = {
      u + (row * g.width + first) * pixel_floats, g.channels, lanes, pixel_floats, first < 0 ? -first : 0,
      over > 0 ? g.width - first : Form::kInputs};
  if (over > 1) {
    spread_line<Form, -1, -1>(w, place);
  } else if (first >= 0) {
    if (over > 0) {
      spread_line<Form, 0, 1>(w, place);
    } else {
      spread_line<Form, 0, 0>(w, place);
    }
  } else if (over > 0) {
    spread_line<Form, 1, 1>(w, place);
  } else {
    spread_line<Form, 1, 0>(w, place);
  }
}

/// The adjoint's, from `scale` times the outputs a[pixel][channel].
template <class Form>
[[gnu::always_inline]] static inline void spread_output_row(const SeriesGeometry& g, const float* a, float scale,
                                                            int64_t lanes, int64_t row, int64_t tile, LinePlace place) {
  const int64_t pixel_floats = g.channels * lanes, column = tile * Form::kOutputs;
  const int64_t there = smaller(Form::kOutputs, g.width - column);
  a += (row * g.width + column) * pixel_floats;
  for (int64_t c = 0; c < g.channels; ++c, a += lanes, place.to += place.channel_stride) {
    Vector y[Form::kOutputs] = {}, v[Form::kProducts];
    if (there == Form::kOutputs) {
#pragma GCC unroll 4
      for (int i = 0; i < Form::kOutputs; ++i) y[i] = scale * load(a + i * pixel_floats);
    } else {
      for (int64_t i = 0; i < there; ++i) y[i] = scale * load(a + i * pixel_floats);
    }
    Form::output_adjoint(y, v);
    put_line<Form>(v, place.to, place.frequency_stride);
  }
}

/// One or two vectors whose products share weights: neighbouring tiles of one vector of images, or one tile of two.
struct LineStrip {
  const SeriesGeometry* geometry;
  int64_t lanes;    ///< of the block
  int64_t tile;     ///< the first one, along a row
  int64_t tiles;    ///< 1 or 2
  float* ring;      ///< [row mod 3][in][frequency][vector of the strip]
  float* products;  ///< [channel of the run][frequency][vector of the strip]

  int64_t tile_of(int vector) const { return tile + (tiles == 2 ? vector : 0); }
  int64_t lane_of(int vector) const { return tiles == 2 ? 0 : vector * kVector; }
};

template <class Form, int kValues>
static void spread_strip(const LineStrip& t, const float* u, int64_t row) {
  constexpr int64_t kStep = kValues * kVector;
  float* ring = t.ring + row % kLineRows * t.geometry->channels * Form::kProducts * kStep;
  for (int v = 0; v < kValues; ++v) {
    spread_tile_row<Form>(*t.geometry, u + t.lane_of(v), t.lanes, row, t.tile_of(v),
                          {ring + v * kVector, Form::kProducts * kStep, kStep});
  }
}

/// The products of one run of output channels at one row of the strip.
template <class Form, int kRun, int kValues>
static void line_products(const LineStrip& t, const float* weights, int64_t row) {
  constexpr int64_t kStep = kValues * kVector;
  const SeriesGeometry& g = *t.geometry;
  const TapRange rows = taps_inside(row, g.height, kLineRows);
  for (int f = 0; f < Form::kProducts; ++f) {
    Vector sum[kRun][kValues] = {};
    for (int64_t tap = rows.begin; tap < rows.end; ++tap) {
      const float* u = t.ring + ((row + tap - 1) % kLineRows * g.channels * Form::kProducts + f) * kStep;
      const float* w = weights + (f * kLineRows + tap) * g.channels * kRun;
      for (int64_t c = 0; c < g.channels; ++c, u += Form::kProducts * kStep, w += kRun) {
        Vector value[kValues];
#pragma GCC unroll 2
        for (int v = 0; v < kValues; ++v) value[v] = load(u + v * kVector);
#pragma GCC unroll 16
        for (int o = 0; o < kRun; ++o) {
          const Vector weight = fill(w[o]);
#pragma GCC unroll 2
          for (int v = 0; v < kValues; ++v) sum[o][v] = multiply_add(weight, value[v], sum[o][v]);
        }
      }
    }
#pragma GCC unroll 16
    for (int o = 0; o < kRun; ++o) {
#pragma GCC unroll 2
      for (int v = 0; v < kValues; ++v) {
        store(t.products + ((o * Form::kProducts + f) * kValues + v) * kVector, sum[o][v]);
      }
    }
  }
}

/// Where a run's outputs of one tile's row go.
struct LineOutputs {
  const float *x, *sum_in;
  float *out, *kept, *sum;
  float alpha, beta;
  int64_t run, lanes, pixel_stride, there;
};

/// products: [channel][frequency][kValues]. kX, kSum: the step has an x, a sum. kWhole: all pixels are in the picture.
template <class Form, int kValues, bool kX, bool kSum, bool kWhole>
[[gnu::always_inline]] static inline void gather_line(const float* products, const LineOutputs s) {
  const Vector alpha = fill(s.alpha), beta = fill(s.beta);
  const auto put = [&](int64_t to, Vector y) {
    const Vector total = kX ? multiply_add(beta, y, alpha * load(s.x + to)) : beta * y;
    store(s.out + to, total);
    if (s.kept != nullptr) store_past(s.kept + to, total);
    if (kSum) store(s.sum + to, load(s.sum_in + to) + total);
  };
  for (int64_t o = 0; o < s.run; ++o) {
    Vector m[Form::kProducts], y[Form::kOutputs];
#pragma GCC unroll 6
    for (int f = 0; f < Form::kProducts; ++f, products += kValues * kVector) m[f] = load(products);
    Form::output(m, y);
    const int64_t to = o * s.lanes;
    if constexpr (kWhole) {
#pragma GCC unroll 4
      for (int i = 0; i < Form::kOutputs; ++i) put(to + i * s.pixel_stride, y[i]);
    } else {
      for (int64_t i = 0; i < s.there; ++i) put(to + i * s.pixel_stride, y[i]);
    }
  }
}

template <class Form, int kValues, bool kX, bool kSum>
static void gather_strip(const LineStrip& t, const ConvStep& s, int64_t first_channel, int64_t run, int64_t row) {
  const SeriesGeometry& g = *t.geometry;
  for (int v = 0; v < kValues; ++v) {
    const int64_t column = t.tile_of(v) * Form::kOutputs, there = smaller(Form::kOutputs, g.width - column);
    const int64_t at = ((row * g.width + column) * g.channels + first_channel) * t.lanes + t.lane_of(v);
    const LineOutputs to = {kX ? s.x + at : nullptr,
                            kSum ? s.sum_in + at : nullptr,
                            s.out + at,
                            s.kept != nullptr ? s.kept + at : nullptr,
                            kSum ? s.sum + at : nullptr,
                            s.alpha,
                            s.beta,
                            run,
                            t.lanes,
                            g.channels * t.lanes,
                            there};
    const float* from = t.products + v * kVector;
    if (there == Form::kOutputs) {
      gather_line<Form, kValues, kX, kSum, true>(from, to);
    } else {
      gather_line<Form, kValues, kX, kSum, false>(from, to);
    }
  }
}

using LineProducts = void (*)(const LineStrip&, const float*, int64_t);

template <class Form, int kValues>
struct LineProductsOf {
  using Function = LineProducts;
  template <int kRun>
  static constexpr Function of = line_products<Form, kRun, kValues>;
};
template <class Form, int kValues>
using LineRuns = EveryRun<LineProductsOf<Form, kValues>>;

/// Row `row` of the strip's frequencies, if there is one.
template <class Form>
static void spread_row(const LineStrip& t, const ConvStep& s, int64_t row) {
  if (row < 0 || row >= t.geometry->height) return;
  (s.vectors * t.tiles == 2 ? spread_strip<Form, 2> : spread_strip<Form, 1>)(t, s.u, row);
}

template <class Form, int kValues>
static void finish_row(const LineStrip& t, const ConvStep& s, int64_t row) {
  const SeriesGeometry& g = *t.geometry;
  const auto gather =
      s.sum != nullptr
          ? (s.x != nullptr ? gather_strip<Form, kValues, true, true> : gather_strip<Form, kValues, false, true>)
          : (s.x != nullptr ? gather_strip<Form, kValues, true, false> : gather_strip<Form, kValues, false, false>);
  for (int64_t run = 0; run < g.runs; ++run) {
    const int64_t first = run_begin(g, run), size = run_begin(g, run + 1) - first;
    const float* weights = s.weights + first * g.channels * Form::kProducts * kLineRows;
    LineRuns<Form, kValues>::of[size - 1](t, weights, row);
    gather(t, s, first, size, row);
  }
}

template <class Form>
static int64_t line_tiles(const SeriesGeometry& g) {
  return (g.width + Form::kOutputs - 1) / Form::kOutputs;
}

template <class Form>
static int64_t ring_floats(const SeriesGeometry& g) {
  return kLineRows * Form::kProducts * g.channels * 2 * kVector;
}

template <class Form>
static int64_t line_scratch(const SeriesGeometry& g, int64_t vectors) {
  const int64_t together = 2 / vectors, strips = (line_tiles<Form>(g) + together - 1) / together;
  return strips * ring_floats<Form>(g) + kLargestRun * Form::kProducts * 2 * kVector;
}

/// See LineKernels. Row by row, for pixels that lie beside each other come faster.
template <class Form>
static void line_conv(const SeriesGeometry& g, const ConvStep& s, float* scratch) {
  const int64_t tiles = line_tiles<Form>(g), together = 2 / s.vectors, ring = ring_floats<Form>(g);
  float* products = scratch + (tiles + together - 1) / together * ring;
  const auto strip = [&](int64_t tile) {
    return LineStrip{
        &g, s.vectors * kVector, tile, smaller(together, tiles - tile), scratch + tile / together * ring, products};
  };
  for (int64_t row = s.begin - 1; row <= s.begin && s.begin < s.end; ++row) {
    for (int64_t tile = 0; tile < tiles; tile += together) spread_row<Form>(strip(tile), s, row);
  }
  for (int64_t row = s.begin; row < s.end; ++row) {
    for (int64_t tile = 0; tile < tiles; tile += together) {
      const LineStrip t = strip(tile);
      spread_row<Form>(t, s, row + 1);
      (s.vectors * t.tiles == 2 ? finish_row<Form, 2> : finish_row<Form, 1>)(t, s, row);
    }
  }
}

/// Tiles side by side of a gradient's strip, and floats of one frequency of it: an odd number of lines of the cache
/// more than it has, so that frequencies do not fall on the same sets.
template <class Form>
static int64_t plane_tiles(const SeriesGeometry& g, int64_t vectors) {
  const int64_t tiles = line_tiles<Form>(g), most = kPlaneTiles / (g.height * vectors);
  return smaller(most > 0 ? most : 1, tiles);
}
template <class Form>
static int64_t plane_floats(const SeriesGeometry& g, int64_t vectors) {
  return g.height * plane_tiles<Form>(g, vectors) * g.channels * vectors * kVector + 9 * 16;
}

template <class Form>
static int64_t line_gradient_scratch(const SeriesGeometry& g) {
  const int64_t one = plane_floats<Form>(g, 1), two = plane_floats<Form>(g, 2);
  return 2 * Form::kProducts * (one > two ? one : two);
}

/// The sums of one frequency of a strip of `wide` tiles: a row of taps connects every row but one to its neighbour.
template <class Form>
static void plane_gradient(const SeriesGeometry& g, const SmallGradientStep& s, int64_t wide, const float* a,
                           const float* u, float* sums) {
  const int64_t lanes = s.vectors * kVector, row_floats = wide * g.channels * lanes;
  for (int64_t tap = 0; tap < kLineRows; ++tap, sums += g.channels * g.channels * kVector) {
    const TapRange rows = outputs_inside(0, g.height, g.height, tap - 1);
    if (rows.begin >= rows.end) continue;
    small_tiles(g, {a + rows.begin * row_floats, u + (rows.begin + tap - 1) * row_floats,
                    (rows.end - rows.begin) * wide, g.channels * lanes, lanes, g.channels, sums});
  }
}

/// An iterate comes from far, row by row of a strip; a is near.
template <class Form>
static inline void ask_for_tile_row(const SeriesGeometry& g, const float* u, int64_t lanes, int64_t row, int64_t tile) {
  const int64_t column = tile * Form::kOutputs, there = smaller(Form::kOutputs, g.width - column);
  if (there > 0) ask_for<0>(u + (row * g.width + column) * g.channels * lanes, 0, 1, there * g.channels * lanes);
}

/// See LineKernels.
template <class Form>
static void line_gradient(const SeriesGeometry& g, const SmallGradientStep& s, float* scratch) {
  const int64_t lanes = s.vectors * kVector, plane = plane_floats<Form>(g, s.vectors);
  const int64_t tiles = line_tiles<Form>(g), together = plane_tiles<Form>(g, s.vectors);
  const int64_t frequency = kLineRows * g.channels * g.channels * kVector;
  float *u = scratch, *a = scratch + Form::kProducts * plane;
  if (!s.accumulate) {
    for (int64_t i = s.begin * frequency; i < s.end * frequency; i += kVector) store(s.gradient + i, Vector{});
  }
  for (int64_t tile = 0; tile < tiles; tile += together) {
    const int64_t wide = smaller(together, tiles - tile);
    for (int64_t i = 0; i < g.height * wide; ++i) {
      ask_for_tile_row<Form>(g, s.u, lanes, i / wide, tile + together + i % wide);
      for (int64_t lane = 0; lane < lanes; lane += kVector) {
        const int64_t to = i * g.channels * lanes + lane;
        spread_tile_row<Form>(g, s.u + lane, lanes, i / wide, tile + i % wide, {u + to, lanes, plane});
        spread_output_row<Form>(g, s.a + lane, s.scale, lanes, i / wide, tile + i % wide, {a + to, lanes, plane});
      }
    }
    for (int64_t f = s.begin; f < s.end; ++f) {
      plane_gradient<Form>(g, s, wide, a + f * plane, u + f * plane, s.gradient + f * frequency);
    }
  }
}

/// See LineKernels.
template <class Form>
static void line_kernel(const float* from, float* to, int64_t count) {
  for (int64_t row = 0; row < kLineRows; ++row) {
    for (int64_t i = 0; i < count; ++i) {
      Vector k[3], u[Form::kProducts];
      for (int64_t column = 0; column < 3; ++column) k[column] = fill(from[(row * 3 + column) * count + i]);
      Form::kernel(k, u);
      for (int64_t f = 0; f < Form::kProducts; ++f) to[(f * kLineRows + row) * count + i] = u[f][0];
    }
  }
}

/// See LineKernels.
template <class Form>
static void line_taps(const SeriesGeometry& g, const float* gradient, int64_t run, float* to) {
  const int64_t first = run_begin(g, run), size = run_begin(g, run + 1) - first, square = g.channels * g.channels;
  for (int64_t row = 0; row < kLineRows; ++row) {
    for (int64_t i = 0; i < size * g.channels; ++i) {
      Vector u[Form::kProducts], k[3];
      for (int64_t f = 0; f < Form::kProducts; ++f) {
        u[f] = load(gradient + ((f * kLineRows + row) * square + first * g.channels + i) * kVector);
      }
      Form::kernel_adjoint(u, k);
      for (int64_t column = 0; column < 3; ++column) {
        to[((row * 3 + column) * size + i / g.channels) * g.columns + i % g.channels] = total(k[column]);
      }
    }
  }
}

template <class Form>
constexpr LineKernels line_kernels() {
  return {Form::kOutputs,  Form::kProducts,   kVector > 8 ? 12 : 8,        line_scratch<Form>,
          line_conv<Form>, line_kernel<Form>, line_gradient_scratch<Form>, line_gradient<Form>,
          line_taps<Form>};
}

}  // namespace gsnet::cpu::GSNET_ISA
