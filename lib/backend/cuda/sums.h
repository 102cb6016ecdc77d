// Sums over pixels and softmaxes over rows, made of loops.h.
#pragma once

#include <algorithm>

#include "backend/cuda/loops.h"
#include "backend/cuda/runtime.h"
#include "core/tensor.h"

namespace gsnet::cuda {

/// y (C) = term(pixel, channel) summed over the pixels, in pieces so that neighbouring threads read neighbours.
template <class Term>
void sum_over_pixels(Runtime& runtime, int64_t pixels, int64_t channels, Term term, Tensor& y) {
  const int64_t pieces =
      std::clamp<int64_t>(std::min<int64_t>(pixels / 16, 65536 / std::max<int64_t>(channels, 1)), 1, 4096);
  const Tensor partial = Tensor::empty({pieces, channels}, DType::f64, Layout::row_major, runtime.memory());
  double* parts = partial.data<double>();
  float* to = y.data<float>();
  for_each(runtime.stream(), pieces * channels, [=] GSNET_DEVICE(int64_t i) {
    const int64_t piece = i / channels, channel = i % channels;
    double total = 0;
    for (int64_t p = pixels * piece / pieces; p < pixels * (piece + 1) / pieces; ++p) total += term(p, channel);
    parts[i] = total;
  });
  for_rows<Sum>(
      runtime.stream(), channels, pieces,
      [=] GSNET_DEVICE(int64_t channel, int64_t piece) { return parts[piece * channels + channel]; },
      [=] GSNET_DEVICE(int64_t channel, double total) { to[channel] = static_cast<float>(total); });
}

/// (rows) f64: term(row, column) summed over the columns; where rows are few and long, in pieces.
template <class Term>
Tensor sums_of_rows(Runtime& runtime, int64_t rows, int64_t columns, Term term) {
  constexpr int64_t kLong = 2048, kTeams = 1024;
  const int64_t pieces = std::max<int64_t>(1, std::min(columns / kLong, kTeams / std::max<int64_t>(rows, 1)));
  const int64_t each = (columns + pieces - 1) / pieces;
  Tensor partial = Tensor::empty({rows * pieces}, DType::f64, Layout::row_major, runtime.memory());
  double* parts = partial.data<double>();
  for_rows<Sum>(
      runtime.stream(), rows * pieces, each,
      [=] GSNET_DEVICE(int64_t piece, int64_t i) {
        const int64_t column = piece % pieces * each + i;
        return column < columns ? term(piece / pieces, column) : 0.0;
      },
      [=] GSNET_DEVICE(int64_t piece, double total) { parts[piece] = total; });
  if (pieces == 1) return partial;
  Tensor sums = Tensor::empty({rows}, DType::f64, Layout::row_major, runtime.memory());
  double* to = sums.data<double>();
  for_rows<Sum>(
      runtime.stream(), rows, pieces,
      [=] GSNET_DEVICE(int64_t row, int64_t piece) { return parts[row * pieces + piece]; },
      [=] GSNET_DEVICE(int64_t row, double total) { to[row] = total; });
  return sums;
}

/// (rows) f64: products of the rows of two matrices, in double.
inline Tensor dots_of_rows(Runtime& runtime, int64_t rows, int64_t columns, const float* a, const float* b) {
  return sums_of_rows(runtime, rows, columns, [=] GSNET_DEVICE(int64_t row, int64_t column) {
    return static_cast<double>(a[row * columns + column]) * static_cast<double>(b[row * columns + column]);
  });
}

/// y = x f64 in single precision.
inline void narrow(Runtime& runtime, const Tensor& x, Tensor& y) {
  const double* from = x.data<double>();
  float* to = y.data<float>();
  for_each(runtime.stream(), y.numel(), [=] GSNET_DEVICE(int64_t i) { to[i] = static_cast<float>(from[i]); });
}

/// Of every row of logits: the largest, and the sum of exp(logit - largest). Both (rows) f64.
struct RowSoftmax {
  Tensor largest, sum;
};
/// p (rows, columns) = the softmax of logit(row, column) over each row.
template <class Logit>
RowSoftmax softmax_of_rows(Runtime& runtime, int64_t rows, int64_t columns, Logit logit, Tensor& p) {
  RowSoftmax made{Tensor::empty({rows}, DType::f64, Layout::row_major, runtime.memory()),
                  Tensor::empty({rows}, DType::f64, Layout::row_major, runtime.memory())};
  double* largest = made.largest.data<double>();
  double* sum = made.sum.data<double>();
  float* to = p.data<float>();
  for_rows<Max>(runtime.stream(), rows, columns, logit,
                [=] GSNET_DEVICE(int64_t row, double total) { largest[row] = total; });
  for_rows<Sum>(
      runtime.stream(), rows, columns,
      [=] GSNET_DEVICE(int64_t row, int64_t column) { return exp(logit(row, column) - largest[row]); },
      [=] GSNET_DEVICE(int64_t row, double total) { sum[row] = total; });
  for_each(runtime.stream(), rows * columns, [=] GSNET_DEVICE(int64_t i) {
    const int64_t row = i / columns;
    to[i] = static_cast<float>(exp(logit(row, i % columns) - largest[row]) / sum[row]);
  });
  return made;
}

}  // namespace gsnet::cuda
