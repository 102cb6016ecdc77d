// The convolution step of a series. Innermost: one output pixel, or two neighbours that use every weight twice, one run
// of output channels, all lanes of the block, summed over the taps inside the picture and the input channels. Taps next
// to each other in a row of the kernel are next to each other in the block too, so that each row of taps is one pass
// over both arrays.
#pragma once

#include <utility>

#include "backend/cpu/series_kernels.h"
#include "backend/cpu/simd.h"

namespace gsnet::cpu::GSNET_ISA {

/// Taps of the kernel that fall inside the picture along one axis.
struct TapRange {
  int64_t begin, end;
};

static inline TapRange taps_inside(int64_t at, int64_t extent, int64_t window) {
  const int64_t half = window / 2;
  return {half > at ? half - at : 0, at + half < extent ? window : extent - at + half};
}

struct ConvPixel {
  const SeriesGeometry* geometry;
  const ConvStep* step;
  int64_t row, column;    ///< of the first of the pixels
  int64_t first_channel;  ///< of the run
  int64_t repeats;        ///< so often, a pixel or two further right each time, with the same taps inside
};

/// Puts vectors of J u where a step wants them.
struct Outputs {
  const ConvStep& step;
  const Vector alpha, beta;

  explicit Outputs(const ConvStep& s) : step(s), alpha(fill(s.alpha)), beta(fill(s.beta)) {}

  void put(int64_t to, Vector product) const {
    Vector total = product * beta;
    if (step.x != nullptr) total = multiply_add(alpha, load(step.x + to), total);
    store(step.out + to, total);
    if (step.kept != nullptr) store_past(step.kept + to, total);
    if (step.sum != nullptr) store(step.sum + to, load(step.sum_in + to) + total);
  }
};

constexpr int64_t kNearFloats = 8 * 1024;  // in the first-level cache

/// Weights stream through the caches: they are asked for this many floats before they are used.
constexpr int64_t kWeightsAhead = 512;

// Short runs are summed in several independent parts, so that the multiply-adds do not wait for each other. Of two
// pixels all taps are inside along the row.
template <int kRun, int kVectors, int kPixels>
static void conv_pixels(const ConvPixel& at) {
  constexpr int kValues = kVectors * kPixels;
  constexpr int kSplit = kAccumulators / (kRun * kValues) > 1 ? kAccumulators / (kRun * kValues) : 1;
  constexpr int64_t kLanes = kVectors * kVector;
  const SeriesGeometry& g = *at.geometry;
  const int64_t pixel_floats = g.channels * kLanes;
  const ConvStep& s = *at.step;
  const TapRange rows = taps_inside(at.row, g.height, g.kernel_height);
  const TapRange columns = taps_inside(at.column, g.width, g.kernel_width);
  const float* weights = s.weights + at.first_channel * taps_of(g) * g.channels;
  const int64_t row_floats = g.width * pixel_floats, kernel_row = g.kernel_width * g.channels * kRun;
  const float* window = s.u + (at.row + rows.begin - g.kernel_height / 2) * row_floats +
                        (at.column + columns.begin - g.kernel_width / 2) * pixel_floats;
  int64_t offset = (at.row * g.width + at.column) * pixel_floats + at.first_channel * kLanes;
  const Outputs outputs(s);

  for (int64_t repeat = 0; repeat < at.repeats; ++repeat) {
    Vector sum[kSplit][kRun][kValues] = {};
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      const float* u = window + (row - rows.begin) * row_floats;
      const float* w = weights + row * kernel_row + columns.begin * g.channels * kRun;
      int64_t left = (columns.end - columns.begin) * g.channels;
      for (; left >= kSplit; left -= kSplit) {
        __builtin_prefetch(w + kWeightsAhead);
#pragma GCC unroll 16
        for (int k = 0; k < kSplit; ++k) {
          Vector value[kValues];
#pragma GCC unroll 2
          for (int v = 0; v < kValues; ++v) {
            value[v] = load(u + v / kVectors * pixel_floats + (k * kVectors + v % kVectors) * kVector);
          }
#pragma GCC unroll 16
          for (int o = 0; o < kRun; ++o) {
            const Vector weight = fill(w[k * kRun + o]);
#pragma GCC unroll 2
            for (int v = 0; v < kValues; ++v) sum[k][o][v] = multiply_add(weight, value[v], sum[k][o][v]);
          }
        }
        u += kSplit * kLanes;
        w += kSplit * kRun;
      }
      for (; kSplit > 1 && left > 0; --left) {
#pragma GCC unroll 16
        for (int o = 0; o < kRun; ++o) {
#pragma GCC unroll 2
          for (int v = 0; v < kValues; ++v) {
            const Vector value = load(u + v / kVectors * pixel_floats + v % kVectors * kVector);
            sum[0][o][v] = multiply_add(fill(w[o]), value, sum[0][o][v]);
          }
        }
        u += kLanes;
        w += kRun;
      }
    }
#pragma GCC unroll 16
    for (int o = 0; o < kRun; ++o) {
#pragma GCC unroll 2
      for (int v = 0; v < kValues; ++v) {
        const int64_t to = offset + v / kVectors * pixel_floats + (o * kVectors + v % kVectors) * kVector;
        Vector total = sum[0][o][v];
#pragma GCC unroll 16
        for (int k = 1; k < kSplit; ++k) total += sum[k][o][v];
        outputs.put(to, total);
      }
    }
    window += kPixels * pixel_floats;
    offset += kPixels * pixel_floats;
  }
}

using ConvPixelFunction = void (*)(const ConvPixel&);

constexpr int kLargestRun = kAccumulators / 2;

/// of[r - 1]: One::of<r>, for every run.
template <class One, class Fewer = std::make_integer_sequence<int, kLargestRun>>
struct EveryRun;
template <class One, int... kFewer>
struct EveryRun<One, std::integer_sequence<int, kFewer...>> {
  static constexpr typename One::Function of[] = {One::template of<kFewer + 1>...};
};

template <int kVectors, int kPixels>
struct ConvPixelsOf {
  using Function = ConvPixelFunction;
  template <int kRun>
  static constexpr Function of = conv_pixels<kRun, kVectors, kPixels>;
};
template <int kVectors, int kPixels>
using ConvPixels = EveryRun<ConvPixelsOf<kVectors, kPixels>>;

/// All runs of [first, first + together) at one pixel, or at two.
static void conv_runs(const ConvPixelFunction* of, ConvPixel at, int64_t first, int64_t together) {
  const SeriesGeometry& g = *at.geometry;
  for (int64_t run = first; run < first + together; ++run) {
    at.first_channel = run_begin(g, run);
    of[run_begin(g, run + 1) - at.first_channel - 1](at);
  }
}

/// out = J u alone, of a kernel of one tap, for pixels [begin, end) of two vectors and one run.
template <int kRun>
static void product_pixels(const SeriesGeometry& g, const ConvStep& s, int64_t first_channel, int64_t begin,
                           int64_t end) {
  constexpr int64_t kLanes = 2 * kVector;
  const float* u = s.u + begin * g.channels * kLanes;
  float* out = s.out + (begin * g.channels + first_channel) * kLanes;
  for (int64_t pixel = begin; pixel < end; ++pixel) {
    Vector sum[kRun][2] = {};
    const float* w = s.weights + first_channel * g.channels;
    for (int64_t k = 0; k < g.channels; ++k) {
      __builtin_prefetch(w + kWeightsAhead);
      const Vector first = load(u), second = load(u + kVector);
#pragma GCC unroll 16
      for (int o = 0; o < kRun; ++o) {
        const Vector weight = fill(w[o]);
        sum[o][0] = multiply_add(weight, first, sum[o][0]);
        sum[o][1] = multiply_add(weight, second, sum[o][1]);
      }
      u += kLanes;
      w += kRun;
    }
#pragma GCC unroll 16
    for (int o = 0; o < kRun; ++o) {
      store(out + 2 * o * kVector, sum[o][0]);
      store(out + (2 * o + 1) * kVector, sum[o][1]);
    }
    out += g.channels * kLanes;
  }
}

using ProductFunction = void (*)(const SeriesGeometry&, const ConvStep&, int64_t, int64_t, int64_t);

struct ProductsOf {
  using Function = ProductFunction;
  template <int kRun>
  static constexpr Function of = product_pixels<kRun>;
};
using Products = EveryRun<ProductsOf>;

static void products_by(const ProductFunction* of, const SeriesGeometry& g, const ConvStep& s) {
  for (int64_t at = s.begin; at < s.end;) {
    const int64_t run = at / g.width, begin = at % g.width, end = smaller(g.width, begin + s.end - at);
    const int64_t first = run_begin(g, run);
    of[run_begin(g, run + 1) - first - 1](g, s, first, begin, end);
    at += end - begin;
  }
}

/// See SeriesKernels.
[[maybe_unused]] static void products(const SeriesGeometry& g, const ConvStep& s) { products_by(Products::of, g, s); }

/// The functions of every run for one vector of images and one pixel or two, and for two vectors.
struct ConvFunctions {
  const ConvPixelFunction *one, *pair, *wide;
};

static void conv_by(const ConvFunctions& of, const SeriesGeometry& g, const ConvStep& s) {
  const ConvPixelFunction* one = s.vectors == 2 ? of.wide : of.one;
  const int64_t pixels = pixels_of(g), half = g.kernel_width / 2;
  // Of a part of the work that is not whole rows none go in twos: all outputs of a pixel are to be summed in the same
  // way (Arithmetic::orders).
  const int64_t row = g.runs * g.width;
  const bool rows = g.runs_at_once == g.runs && s.begin % row == 0 && s.end % row == 0;
  const bool whole = s.begin == 0 && s.end == g.runs * pixels;
  const ConvPixelFunction* two = s.vectors == 2 || !(whole || rows) ? nullptr : of.pair;
  // All pairs of a row at once where the pixels that they read stay near for every run.
  const bool along = g.runs == 1 || 3 * g.width * g.channels * kVector <= kNearFloats;
  for (int64_t first = 0; first < g.runs; first += g.runs_at_once) {
    const int64_t together = first + g.runs_at_once < g.runs ? g.runs_at_once : g.runs - first;
    const int64_t base = first * pixels, stop = base + together * pixels;
    const int64_t begin = s.begin > base ? s.begin : base, end = s.end < stop ? s.end : stop;
    if (begin >= end) continue;
    const int64_t pixel = (begin - base) / together;
    int64_t run = (begin - base) % together;
    ConvPixel at = {&g, &s, pixel / g.width, pixel % g.width, 0, 1};
    for (int64_t i = begin; i < end;) {
      const bool pair =
          two != nullptr && run == 0 && i + 2 * together <= end && at.column >= half && at.column + 1 + half < g.width;
      const int64_t runs = pair ? together : smaller(together - run, end - i);
      at.repeats = pair && along ? smaller(g.width - half - at.column, (end - i) / together) / 2 : 1;
      conv_runs(pair ? two : one, at, first + run, runs);
      i += pair ? 2 * together * at.repeats : runs;
      run = 0;
      at.column += pair ? 2 * at.repeats : 1;
      if (at.column < g.width) continue;
      at.column = 0;
      ++at.row;
    }
  }
}

[[maybe_unused]] static void conv(const SeriesGeometry& g, const ConvStep& s) {
  conv_by({ConvPixels<1, 1>::of, ConvPixels<1, 2>::of, ConvPixels<2, 1>::of}, g, s);
}

}  // namespace gsnet::cpu::GSNET_ISA
