// Products of bf16: one instruction multiplies pairs and adds them to a float. Pairs are neighbours among what is
// summed over: two input channels in a convolution, two images in a weight gradient.
#pragma once

#include "backend/cpu/simd.h"

namespace gsnet::cpu::GSNET_ISA {

using Half = uint16_t;  // a bf16

static inline __m256i rounded(Vector v) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)); }
/// What templates of transforms call, so it comes before them.
static inline void store(Half* p, Vector v) { _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(p), rounded(v)); }

}  // namespace gsnet::cpu::GSNET_ISA

#include "backend/cpu/series_gradient.inc.h"
#include "backend/cpu/series_tiles.inc.h"

namespace gsnet::cpu::GSNET_ISA {

using Pairs = Half __attribute__((vector_size(64)));
using Halves = Half __attribute__((vector_size(32)));

static inline const Half* halves(const float* p) { return reinterpret_cast<const Half*>(p); }
static inline Half* halves(float* p) { return reinterpret_cast<Half*>(p); }

static inline Pairs load_pairs(const Half* p) {
  Pairs pairs;
  __builtin_memcpy(&pairs, p, sizeof(pairs));
  return pairs;
}
static inline void store_pairs(Half* p, Pairs pairs) { __builtin_memcpy(p, &pairs, sizeof(pairs)); }

/// A pair in every lane.
static inline Pairs fill_pair(const Half* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, sizeof(pair));
  return reinterpret_cast<Pairs>(_mm512_set1_epi32(pair));
}

/// sum + a[0] b[0] + a[1] b[1]
static inline Vector dot_add(Pairs a, Pairs b, Vector sum) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}

/// (first[i], second[i]) of the lower halves of two vectors of 32, of the upper ones, and of the halves of one.
static inline Pairs lower_paired(Pairs first, Pairs second) {
  return __builtin_shufflevector(first, second, 0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39, 8, 40, 9, 41,
                                 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47);
}
static inline Pairs upper_paired(Pairs first, Pairs second) {
  return __builtin_shufflevector(first, second, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55, 24, 56,
                                 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63);
}
static inline Pairs halves_paired(Pairs both) {
  return __builtin_shufflevector(both, both, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10,
                                 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
static inline Pairs paired(__m256i first, __m256i second) {
  return __builtin_shufflevector(reinterpret_cast<Halves>(first), reinterpret_cast<Halves>(second), 0, 16, 1, 17, 2, 18,
                                 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14,
                                 30, 15, 31);
}

/// Two channels at p, of kVectors vectors of images each, as pairs.
template <int kVectors>
static inline void load_channels(const Half* p, Pairs* pairs) {
  if constexpr (kVectors == 1) {
    pairs[0] = halves_paired(load_pairs(p));
  } else {
    const Pairs first = load_pairs(p), second = load_pairs(p + 2 * kVector);
    pairs[0] = lower_paired(first, second);
    pairs[1] = upper_paired(first, second);
  }
}

static void round(const float* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; i += kVector) store(halves(to) + i, load(from + i));
}

static void round_pairs(const float* from, float* to, int64_t rows, int64_t wide) {
  Half* out = halves(to);
  for (int64_t row = 0; row < rows; row += 2, from += 2 * wide) {
    for (int64_t i = 0; i < wide; i += kVector, out += 2 * kVector) {
      store_pairs(out, paired(rounded(load(from + i)), rounded(load(from + wide + i))));
    }
  }
}

static int64_t pair_weights_before(const SeriesGeometry& g, int64_t run) { return run_begin(g, run) * g.channels; }

static void pack_pairs(const SeriesGeometry& g, int64_t run, const float* from, float* to) {
  const int64_t size = run_begin(g, run + 1) - run_begin(g, run);
  const Half* taken = halves(from);
  Half* out = halves(to);
  for (int64_t in = 0; in < g.channels; in += 2, taken += 2 * size) {
    for (int64_t o = 0; o < size; ++o) {
      *out++ = taken[o];
      *out++ = taken[size + o];
    }
  }
}

// As conv_pixels.
template <int kRun, int kVectors, int kPixels>
static void reduced_pixels(const ConvPixel& at) {
  constexpr int kValues = kVectors * kPixels;
  constexpr int64_t kLanes = kVectors * kVector;
  const SeriesGeometry& g = *at.geometry;
  const ConvStep& s = *at.step;
  const int64_t pixel_floats = g.channels * kLanes, row_floats = g.width * pixel_floats;
  const TapRange rows = taps_inside(at.row, g.height, g.kernel_height);
  const TapRange columns = taps_inside(at.column, g.width, g.kernel_width);
  const Half* weights = halves(s.weights) + at.first_channel * taps_of(g) * g.channels;
  const Half* window = halves(s.u) + (at.row + rows.begin - g.kernel_height / 2) * row_floats +
                       (at.column + columns.begin - g.kernel_width / 2) * pixel_floats;
  int64_t offset = (at.row * g.width + at.column) * pixel_floats + at.first_channel * kLanes;
  const Outputs outputs(s);
  for (int64_t repeat = 0; repeat < at.repeats; ++repeat) {
    Vector sum[kRun][kValues] = {};
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      const Half* u = window + (row - rows.begin) * row_floats;
      const Half* w = weights + (row * g.kernel_width + columns.begin) * g.channels * kRun;
      const int64_t count = (columns.end - columns.begin) * g.channels / 2;
      for (int64_t k = 0; k < count; ++k) {
        __builtin_prefetch(w + kWeightsAhead);
        Pairs value[kValues];
#pragma GCC unroll 2
        for (int p = 0; p < kPixels; ++p) load_channels<kVectors>(u + p * pixel_floats, value + p * kVectors);
#pragma GCC unroll 16
        for (int o = 0; o < kRun; ++o) {
          const Pairs weight = fill_pair(w + 2 * o);
#pragma GCC unroll 2
          for (int v = 0; v < kValues; ++v) sum[o][v] = dot_add(weight, value[v], sum[o][v]);
        }
        u += 2 * kLanes;
        w += 2 * kRun;
      }
    }
#pragma GCC unroll 16
    for (int o = 0; o < kRun; ++o) {
#pragma GCC unroll 2
      for (int v = 0; v < kValues; ++v) {
        const int64_t to = offset + v / kVectors * pixel_floats + (o * kVectors + v % kVectors) * kVector;
        outputs.put(to, sum[o][v]);
      }
    }
    window += kPixels * pixel_floats;
    offset += kPixels * pixel_floats;
  }
}

template <int kVectors, int kPixels>
struct ReducedPixelsOf {
  using Function = ConvPixelFunction;
  template <int kRun>
  static constexpr Function of = reduced_pixels<kRun, kVectors, kPixels>;
};
template <int kVectors, int kPixels>
using ReducedPixels = EveryRun<ReducedPixelsOf<kVectors, kPixels>>;

static void reduced_conv(const SeriesGeometry& g, const ConvStep& s) {
  conv_by({ReducedPixels<1, 1>::of, ReducedPixels<1, 2>::of, ReducedPixels<2, 1>::of}, g, s);
}

// As product_pixels.
template <int kRun>
static void reduced_product(const SeriesGeometry& g, const ConvStep& s, int64_t first_channel, int64_t begin,
                            int64_t end) {
  constexpr int64_t kLanes = 2 * kVector;
  const Half* u = halves(s.u) + begin * g.channels * kLanes;
  float* out = s.out + (begin * g.channels + first_channel) * kLanes;
  for (int64_t pixel = begin; pixel < end; ++pixel) {
    Vector sum[kRun][2] = {};
    const Half* w = halves(s.weights) + first_channel * g.channels;
    for (int64_t k = 0; k < g.channels; k += 2) {
      __builtin_prefetch(w + kWeightsAhead);
      Pairs value[2];
      load_channels<2>(u, value);
#pragma GCC unroll 16
      for (int o = 0; o < kRun; ++o) {
        const Pairs weight = fill_pair(w + 2 * o);
        sum[o][0] = dot_add(weight, value[0], sum[o][0]);
        sum[o][1] = dot_add(weight, value[1], sum[o][1]);
      }
      u += 2 * kLanes;
      w += 2 * kRun;
    }
#pragma GCC unroll 16
    for (int o = 0; o < kRun; ++o) {
      store(out + 2 * o * kVector, sum[o][0]);
      store(out + (2 * o + 1) * kVector, sum[o][1]);
    }
    out += g.channels * kLanes;
  }
}

struct ReducedProductsOf {
  using Function = ProductFunction;
  template <int kRun>
  static constexpr Function of = reduced_product<kRun>;
};
using ReducedProducts = EveryRun<ReducedProductsOf>;

static void reduced_products(const SeriesGeometry& g, const ConvStep& s) { products_by(ReducedProducts::of, g, s); }

// As gradient_tile.
template <int kRun, int kWide>
static void reduced_gradient_tile(const GradientTile& t) {
  constexpr int kSplit = kAccumulators / (kRun * kWide) > 3 ? 4 : kAccumulators / (kRun * kWide) > 1 ? 2 : 1;
  constexpr int64_t kColumns = kWide * kVector;
  const SeriesGeometry& g = *t.geometry;
  const int64_t lanes = t.step->vectors * kVector;
  Vector sum[kSplit][kRun][kWide] = {};
  for (int64_t term = 0; term < t.step->terms; ++term) {
    for (int64_t row = 0; row < t.rows; ++row) {
      const Half* a = halves(t.step->a[term]) + ((t.out_pixel + row * g.width) * g.channels + t.first_channel) * lanes;
      const Half* in =
          halves(t.step->columns[term]) + t.column_offset + (t.in_pixel + row * g.width) * lanes * kColumns;
      for (int64_t column = 0; column < t.columns; ++column) {
        for (int64_t lane = 0; lane < lanes; lane += 2 * kSplit) {
#pragma GCC unroll 4
          for (int k = 0; k < kSplit; ++k) {
            Pairs value[kWide];
#pragma GCC unroll 2
            for (int v = 0; v < kWide; ++v) value[v] = load_pairs(in + 2 * (k * kColumns + v * kVector));
#pragma GCC unroll 16
            for (int o = 0; o < kRun; ++o) {
              const Pairs factor = fill_pair(a + o * lanes + lane + 2 * k);
#pragma GCC unroll 2
              for (int v = 0; v < kWide; ++v) sum[k][o][v] = dot_add(factor, value[v], sum[k][o][v]);
            }
          }
          in += 2 * kSplit * kColumns;
        }
        a += g.channels * lanes;
      }
    }
  }
  put_sums(t, sum);
}

template <int kWide>
struct ReducedGradientsOf {
  using Function = GradientTileFunction;
  template <int kRun>
  static constexpr Function of = reduced_gradient_tile<kRun, kWide>;
};
template <int kWide>
using ReducedGradients = EveryRun<ReducedGradientsOf<kWide>>;

static void reduced_gradient(const SeriesGeometry& g, const GradientStep& s) {
  gradient_by({ReducedGradients<1>::of, ReducedGradients<2>::of}, g, s);
}

/// What spread_windows writes of one n (a lane of columns, a channel of u); the next one comes beside it.
template <class Form>
static void spread_pairs(const SeriesGeometry& g, const TileStep& s, int64_t wide) {
  constexpr int kProducts = Form::kProducts, kExtent = Form::kInputs;
  const int64_t across = wide / kVector;  // vectors of a lane
  const int64_t pixel_stride = s.width * kVector, row_stride = g.width * pixel_stride;
  for (int64_t tile = s.begin / s.width; tile < s.end / s.width; ++tile) {
    const int64_t whole = s.first_tile + tile;
    const Window w = window_at(g, whole / s.tiles_wide * Form::kOutputs - Form::kBefore,
                               whole % s.tiles_wide * Form::kOutputs - Form::kBefore, kExtent);
    const float* pixel = s.from + w.row * row_stride + w.column * pixel_stride;
    Half* to = halves(s.to) + tile * s.width * kVector;
    for (int64_t lane = 0; lane < s.width / across; lane += 2) {
      for (int64_t v = 0; v < across; ++v) {
        __m256i part[2][kProducts][kProducts];
        for (int of = 0; of < 2; ++of) {
          const float* at = pixel + ((lane + of) * across + v) * kVector;
          Vector d[kExtent][kExtent] = {}, f[kProducts][kProducts];
          for (int64_t r = w.row_begin; r < w.row_end; ++r) {
            for (int64_t c = w.column_begin; c < w.column_end; ++c) {
              d[r][c] = load(at + r * row_stride + c * pixel_stride);
            }
          }
          both_axes<kExtent, kProducts, Form::input>(d, f);
#pragma GCC unroll 6
          for (int p = 0; p < kProducts; ++p) {
#pragma GCC unroll 6
            for (int q = 0; q < kProducts; ++q) part[of][p][q] = rounded(f[p][q]);
          }
        }
        Half* out = to + (lane * across + 2 * v) * kVector;
        for (int p = 0; p < kProducts; ++p) {
          for (int q = 0; q < kProducts; ++q, out += s.frequency_stride) {
            store_pairs(out, paired(part[0][p][q], part[1][p][q]));
          }
        }
      }
    }
  }
}

template <class Form>
static void spread_reduced_inputs(const SeriesGeometry& g, const TileStep& s) {
  spread_windows<Form, Form::kInputs, Form::kBefore, Form::input>(g, s, halves(s.to));
}

template <class Form>
static void spread_reduced_outputs(const SeriesGeometry& g, const TileStep& s) {
  spread_windows<Form, Form::kOutputs, 0, Form::output_adjoint>(g, s, halves(s.to));
}

template <class Form>
constexpr ReducedTileKernels reduced_tile_kernels() {
  return {spread_reduced_inputs<Form>, spread_reduced_outputs<Form>, spread_pairs<Form>};
}

}  // namespace gsnet::cpu::GSNET_ISA
