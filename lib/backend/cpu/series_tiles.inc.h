// Products with fewer multiplications: transforms of tiles, of the kernel and of its gradient.
//
// Along one axis a form computes `kOutputs` sums of three taps over `kInputs` neighbouring inputs by `kProducts`
// multiplications: y = A'((G k) * (B' d)), G, A and B small matrices of constants; a tile of the picture takes the
// form along both axes. Everything works on vectors of whatever lies beside each other in a pixel.
// Winograd, "Arithmetic complexity of computations" (1980); Lavin and Gray, arXiv 1509.09308; points chosen for
// accuracy after Barabasz et al., arXiv 1803.10986.
#pragma once

#include <utility>

#include "backend/cpu/series_kernels.h"
#include "backend/cpu/simd.h"

namespace gsnet::cpu::GSNET_ISA {

static inline Vector scaled_add(float a, Vector b, Vector c) { return multiply_add(fill(a), b, c); }

/// Two pixels, all there are along the axis: y0 = k1 d0 + k2 d1, y1 = k0 d0 + k1 d1 by k1 (d0 + d1) and two more.
struct Toeplitz2 {
  static constexpr int kInputs = 2, kOutputs = 2, kProducts = 3, kBefore = 0;

  static inline void input(const Vector* d, Vector* v) {
    v[0] = d[0] + d[1];
    v[1] = d[1];
    v[2] = d[0];
  }
  static inline void output(const Vector* m, Vector* y) {
    y[0] = m[0] + m[1];
    y[1] = m[0] + m[2];
  }
  static inline void output_adjoint(const Vector* y, Vector* m) {
    m[0] = y[0] + y[1];
    m[1] = y[0];
    m[2] = y[1];
  }
  static inline void kernel(const Vector* k, Vector* u) {
    u[0] = k[1];
    u[1] = k[2] - k[1];
    u[2] = k[0] - k[1];
  }
  static inline void kernel_adjoint(const Vector* u, Vector* k) {
    k[0] = u[2];
    k[1] = u[0] - u[1] - u[2];
    k[2] = u[1];
  }
};

/// Four pixels from six: evaluation at 0, ±1/√2, ±√2 and infinity.
struct Winograd4 {
  static constexpr int kInputs = 6, kOutputs = 4, kProducts = 6, kBefore = 1;
  static constexpr float kA = 0.70710678118654752F, kB = 1.41421356237309505F;    // the points
  static constexpr float kA3 = 0.35355339059327376F, kB3 = 2.82842712474619010F;  // their cubes
  static constexpr float kOfA = -2.0F / 3, kOfB = 1.0F / 6;                       // 1 / weights
  static constexpr float kOfA1 = kOfA * kA, kOfA2 = kOfA / 2, kOfB1 = kOfB * kB, kOfB2 = kOfB * 2;

  static inline void input(const Vector* d, Vector* v) {
    const Vector even_a = scaled_add(-2, d[2], d[4]), odd_a = scaled_add(-2, d[1], d[3]);
    const Vector even_b = scaled_add(-0.5F, d[2], d[4]), odd_b = scaled_add(-0.5F, d[1], d[3]);
    v[0] = scaled_add(-2.5F, d[2], d[0] + d[4]);
    v[1] = scaled_add(kA, odd_a, even_a);
    v[2] = scaled_add(-kA, odd_a, even_a);
    v[3] = scaled_add(kB, odd_b, even_b);
    v[4] = scaled_add(-kB, odd_b, even_b);
    v[5] = scaled_add(-2.5F, d[3], d[1] + d[5]);
  }
  static inline void output(const Vector* m, Vector* y) {
    const Vector sum_a = m[1] + m[2], difference_a = m[1] - m[2], sum_b = m[3] + m[4], difference_b = m[3] - m[4];
    y[0] = m[0] + sum_a + sum_b;
    y[1] = scaled_add(kA, difference_a, difference_b * kB);
    y[2] = scaled_add(0.5F, sum_a, sum_b + sum_b);
    y[3] = scaled_add(kA3, difference_a, scaled_add(kB3, difference_b, m[5]));
  }
  static inline void output_adjoint(const Vector* y, Vector* m) {
    const Vector even_a = scaled_add(0.5F, y[2], y[0]), odd_a = scaled_add(kA, y[1], y[3] * kA3);
    const Vector even_b = scaled_add(2, y[2], y[0]), odd_b = scaled_add(kB, y[1], y[3] * kB3);
    m[0] = y[0];
    m[1] = even_a + odd_a;
    m[2] = even_a - odd_a;
    m[3] = even_b + odd_b;
    m[4] = even_b - odd_b;
    m[5] = y[3];
  }
  static inline void kernel(const Vector* k, Vector* u) {
    const Vector even_a = scaled_add(kOfA2, k[2], k[0] * kOfA), even_b = scaled_add(kOfB2, k[2], k[0] * kOfB);
    u[0] = k[0];
    u[1] = scaled_add(kOfA1, k[1], even_a);
    u[2] = scaled_add(-kOfA1, k[1], even_a);
    u[3] = scaled_add(kOfB1, k[1], even_b);
    u[4] = scaled_add(-kOfB1, k[1], even_b);
    u[5] = k[2];
  }
  static inline void kernel_adjoint(const Vector* u, Vector* k) {
    const Vector sum_a = u[1] + u[2], sum_b = u[3] + u[4];
    k[0] = scaled_add(kOfA, sum_a, scaled_add(kOfB, sum_b, u[0]));
    k[1] = scaled_add(kOfA1, u[1] - u[2], (u[3] - u[4]) * kOfB1);
    k[2] = scaled_add(kOfA2, sum_a, scaled_add(kOfB2, sum_b, u[5]));
  }
};

using Transform = void (*)(const Vector*, Vector*);

/// A transform along both axes of an array of kFrom x kFrom vectors.
template <int kFrom, int kTo, Transform kTransform>
static inline void both_axes(Vector (&from)[kFrom][kFrom], Vector (&to)[kTo][kTo]) {
  Vector half[kTo][kFrom];  // transposed
#pragma GCC unroll 6
  for (int row = 0; row < kFrom; ++row) {
    Vector line[kTo];
    kTransform(from[row], line);
#pragma GCC unroll 6
    for (int i = 0; i < kTo; ++i) half[i][row] = line[i];
  }
#pragma GCC unroll 6
  for (int column = 0; column < kTo; ++column) {
    Vector line[kTo];
    kTransform(half[column], line);
#pragma GCC unroll 6
    for (int i = 0; i < kTo; ++i) to[i][column] = line[i];
  }
}

/// Where a window of pixels lies in the picture.
struct Window {
  int64_t row, column;                                   ///< of its first pixel, may be negative
  int64_t row_begin, row_end, column_begin, column_end;  ///< the part inside, within the window
};

/// Of a window of `extent` pixels along each axis: which of its outermost lines are outside, 1 the first row, 2 the
/// last, 4 the first column, 8 the last; kRagged if more than these.
constexpr int kRagged = 16;
static inline int lines_outside(const Window& w, int64_t extent) {
  const int64_t bottom = extent - w.row_end, right = extent - w.column_end;
  if (w.row_begin > 1 || bottom > 1 || w.column_begin > 1 || right > 1) return kRagged;
  return static_cast<int>(w.row_begin + 2 * bottom + 4 * w.column_begin + 8 * right);
}

static inline Window window_at(const SeriesGeometry& g, int64_t row, int64_t column, int64_t extent) {
  const auto clipped = [](int64_t at, int64_t to, int64_t size) { return at + to > size ? size - at : to; };
  return {row,
          column,
          row < 0 ? -row : 0,
          clipped(row, extent, g.height),
          column < 0 ? -column : 0,
          clipped(column, extent, g.width)};
}

/// Where a tile's first vector is in an array of one frequency; the next ones are `together` vectors on.
static inline int64_t tile_offset(const TileStep& s, int64_t tile) {
  return (tile / s.together * s.together * s.width + tile % s.together) * kVector;
}

/// `count` vectors of one tile: `pixel` the first of the window's first pixel, `to` that of the first frequency, an
/// array of Number.
template <class Number>
struct TileRun {
  const float* pixel;
  Number* to;
  int64_t count, pixel_stride, row_stride, frequency_stride, step;
};

/// kOutside: lines_outside(w). What the window sees outside is zero.
template <int kExtent, int kProducts, Transform kTransform, class Number, int kOutside>
static void spread_run(const TileRun<Number> run, const Window w) {
  constexpr int kTop = kOutside & 1, kBottom = kExtent - (kOutside >> 1 & 1);
  constexpr int kLeft = kOutside >> 2 & 1, kRight = kExtent - (kOutside >> 3 & 1);
  Vector d[kExtent][kExtent] = {}, v[kProducts][kProducts];
  for (int64_t n = 0; n < run.count; ++n) {
    const float* pixel = run.pixel + n * kVector;
    if constexpr (kOutside == kRagged) {
      for (int64_t r = w.row_begin; r < w.row_end; ++r) {
        for (int64_t c = w.column_begin; c < w.column_end; ++c) {
          d[r][c] = load(pixel + r * run.row_stride + c * run.pixel_stride);
        }
      }
    } else {
#pragma GCC unroll 6
      for (int r = kTop; r < kBottom; ++r) {
#pragma GCC unroll 6
        for (int c = kLeft; c < kRight; ++c) d[r][c] = load(pixel + r * run.row_stride + c * run.pixel_stride);
      }
    }
    both_axes<kExtent, kProducts, kTransform>(d, v);
    Number* to = run.to + n * run.step;
#pragma GCC unroll 6
    for (int p = 0; p < kProducts; ++p) {
#pragma GCC unroll 6
      for (int q = 0; q < kProducts; ++q) {
        store(to, v[p][q]);
        to += run.frequency_stride;
      }
    }
  }
}

template <class Number>
using SpreadRun = void (*)(const TileRun<Number>, const Window);

template <int kExtent, int kProducts, Transform kTransform, class Number, class Lines>
struct SpreadRuns;
template <int kExtent, int kProducts, Transform kTransform, class Number, int... kLines>
struct SpreadRuns<kExtent, kProducts, kTransform, Number, std::integer_sequence<int, kLines...>> {
  static constexpr SpreadRun<Number> of[] = {spread_run<kExtent, kProducts, kTransform, Number, kLines>...};
};

/// to[frequency][tiles][n][tile of these] = transform of a window of from[pixel][n]; see TileKernels.
template <class Form, int kExtent, int kBefore, Transform kTransform, class Number>
static void spread_windows(const SeriesGeometry& g, const TileStep& s, Number* to) {
  using Runs = SpreadRuns<kExtent, Form::kProducts, kTransform, Number, std::make_integer_sequence<int, kRagged + 1>>;
  const int64_t pixel_stride = s.width * kVector, row_stride = g.width * pixel_stride, step = s.together * kVector;
  for (int64_t at = s.begin; at < s.end;) {
    const int64_t tile = at / s.width, first = at % s.width;
    const int64_t count = smaller(s.width - first, s.end - at);
    const int64_t whole = s.first_tile + tile;
    const Window w = window_at(g, whole / s.tiles_wide * Form::kOutputs - kBefore,
                               whole % s.tiles_wide * Form::kOutputs - kBefore, kExtent);
    const TileRun<Number> run = {s.from + w.row * row_stride + w.column * pixel_stride + first * kVector,
                                 to + tile_offset(s, tile) + first * step,
                                 count,
                                 pixel_stride,
                                 row_stride,
                                 s.frequency_stride,
                                 step};
    Runs::of[lines_outside(w, kExtent)](run, w);
    at += count;
  }
}

template <class Form>
static void spread_inputs(const SeriesGeometry& g, const TileStep& s) {
  spread_windows<Form, Form::kInputs, Form::kBefore, Form::input>(g, s, s.to);
}

template <class Form>
static void spread_outputs(const SeriesGeometry& g, const TileStep& s) {
  spread_windows<Form, Form::kOutputs, 0, Form::output_adjoint>(g, s, s.to);
}

/// One tile of gather(): `from` its first frequency's first vector, `to` where its first pixel's is in the arrays of
/// `c`.
struct GatherRun {
  const float* from;
  int64_t to, count, rows, columns, pixel_stride, row_stride, frequency_stride, step;
};

/// kWhole: all its pixels lie in the picture. kSum: the step keeps a sum.
template <class Form, bool kWhole, bool kSum>
static void gather_run(const GatherRun run, const ConvStep c) {
  constexpr int kProducts = Form::kProducts, kOutputs = Form::kOutputs;
  const Vector alpha = fill(c.alpha), beta = fill(c.beta);
  const auto put = [&](int64_t to, Vector total) {
    total *= beta;
    if (c.x != nullptr) total = multiply_add(alpha, load(c.x + to), total);
    store(c.out + to, total);
    if (c.kept != nullptr) store_past(c.kept + to, total);
    if (kSum) store(c.sum + to, load(c.sum_in + to) + total);
  };
  for (int64_t n = 0; n < run.count; ++n) {
    Vector m[kProducts][kProducts], y[kOutputs][kOutputs];
    const float* from = run.from + n * run.step;
#pragma GCC unroll 6
    for (int p = 0; p < kProducts; ++p) {
#pragma GCC unroll 6
      for (int q = 0; q < kProducts; ++q) {
        m[p][q] = load(from);
        from += run.frequency_stride;
      }
    }
    both_axes<kProducts, kOutputs, Form::output>(m, y);
    const int64_t to = run.to + n * kVector;
    if constexpr (kWhole) {
#pragma GCC unroll 4
      for (int r = 0; r < kOutputs; ++r) {
#pragma GCC unroll 4
        for (int i = 0; i < kOutputs; ++i) put(to + r * run.row_stride + i * run.pixel_stride, y[r][i]);
      }
    } else {
      for (int64_t r = 0; r < run.rows; ++r) {
        for (int64_t i = 0; i < run.columns; ++i) put(to + r * run.row_stride + i * run.pixel_stride, y[r][i]);
      }
    }
  }
}

/// out[pixel][n] = alpha x + beta times the tile of from[frequency][tiles][n][tile of these]; sum = sum_in + out.
template <class Form>
static void gather_outputs(const SeriesGeometry& g, const TileStep& s, const ConvStep& c) {
  constexpr int kOutputs = Form::kOutputs;
  const int64_t pixel_stride = s.width * kVector, row_stride = g.width * pixel_stride, step = s.together * kVector;
  for (int64_t at = s.begin; at < s.end;) {
    const int64_t tile = at / s.width, first = at % s.width;
    const int64_t count = smaller(s.width - first, s.end - at);
    const int64_t whole = s.first_tile + tile;
    const int64_t row = whole / s.tiles_wide * kOutputs, column = whole % s.tiles_wide * kOutputs;
    const GatherRun run = {s.from + tile_offset(s, tile) + first * step,
                           row * row_stride + column * pixel_stride + first * kVector,
                           count,
                           smaller(kOutputs, g.height - row),
                           smaller(kOutputs, g.width - column),
                           pixel_stride,
                           row_stride,
                           s.frequency_stride,
                           step};
    const bool inside = run.rows == kOutputs && run.columns == kOutputs;
    if (c.sum != nullptr) {
      (inside ? gather_run<Form, true, true> : gather_run<Form, false, true>)(run, c);
    } else {
      (inside ? gather_run<Form, true, false> : gather_run<Form, false, false>)(run, c);
    }
    at += count;
  }
}

/// to[kTo x kTo arrays] = transform of from[kFrom x kFrom arrays], element by element.
template <int kFrom, int kTo, Transform kTransform>
static void transform_arrays(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t count) {
  for (int64_t n = 0; n < count; n += kVector) {
    Vector x[kFrom][kFrom], y[kTo][kTo];
    const bool whole = n + kVector <= count;
    const auto floats = static_cast<size_t>(whole ? kVector : count - n);
    for (int i = 0; i < kFrom * kFrom; ++i) {
      Vector& value = x[i / kFrom][i % kFrom];
      value = Vector{};
      __builtin_memcpy(&value, from + i * from_stride + n, floats * sizeof(float));
    }
    both_axes<kFrom, kTo, kTransform>(x, y);
    for (int i = 0; i < kTo * kTo; ++i) {
      __builtin_memcpy(to + i * to_stride + n, &y[i / kTo][i % kTo], floats * sizeof(float));
    }
  }
}

template <class Form>
constexpr TileKernels tile_kernels() {
  return {Form::kOutputs,
          Form::kProducts,
          spread_inputs<Form>,
          spread_outputs<Form>,
          gather_outputs<Form>,
          transform_arrays<3, Form::kProducts, Form::kernel>,
          transform_arrays<Form::kProducts, 3, Form::kernel_adjoint>};
}

}  // namespace gsnet::cpu::GSNET_ISA
