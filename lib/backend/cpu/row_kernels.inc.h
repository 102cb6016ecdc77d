// The row kernels of one instruction set; included by each file that is compiled for one.
#pragma once

#include "backend/cpu/row_kernels.h"
#include "backend/cpu/simd.h"

namespace gsnet::cpu::GSNET_ISA {

constexpr int64_t kDoubles = kVector / 2, kPeriod = kRowTaps * kDoubles;

using Doubles = double __attribute__((vector_size(kDoubles * sizeof(double))));
using LooseDoubles = double __attribute__((vector_size(kDoubles * sizeof(double)), aligned(8), may_alias));
using LooseFloats = float __attribute__((vector_size(kDoubles * sizeof(float)), aligned(4), may_alias));

static inline Doubles doubles(const double* p) { return *reinterpret_cast<const LooseDoubles*>(p); }
static inline void store(double* p, Doubles v) { *reinterpret_cast<LooseDoubles*>(p) = v; }
static inline Doubles widened(const float* p) {
  return __builtin_convertvector(*reinterpret_cast<const LooseFloats*>(p), Doubles);
}

/// A pattern of nine numbers over a period, vector by vector.
static inline void repeat_pattern(const double* pattern, double (&to)[kPeriod]) {
  for (int64_t j = 0; j < kPeriod; ++j) to[j] = pattern[j % kRowTaps];
}

static void dot_row(const float* row, const double* weights, int64_t count, double* sums) {
  Doubles total[kRowTaps] = {};
  int64_t j = 0;
  for (; j + kPeriod <= count; j += kPeriod) {
#pragma GCC unroll 9
    for (int v = 0; v < kRowTaps; ++v) {
      total[v] += widened(row + j + v * kDoubles) * doubles(weights + j + v * kDoubles);
    }
  }
  double all[kPeriod];
  for (int v = 0; v < kRowTaps; ++v) store(all + v * kDoubles, total[v]);
  for (int64_t t = 0; t < kRowTaps; ++t) sums[t] = 0;
  for (int64_t i = 0; i < kPeriod; ++i) sums[i % kRowTaps] += all[i];
  for (; j < count; ++j) sums[j % kRowTaps] += static_cast<double>(row[j]) * weights[j];
}

static void add_row(const float* row, const double* pattern, int64_t count, double* to) {
  double factors[kPeriod];
  repeat_pattern(pattern, factors);
  int64_t j = 0;
  for (; j + kPeriod <= count; j += kPeriod) {
#pragma GCC unroll 9
    for (int v = 0; v < kRowTaps; ++v) {
      const int64_t at = j + v * kDoubles;
      store(to + at, doubles(to + at) + widened(row + at) * doubles(factors + v * kDoubles));
    }
  }
  for (; j < count; ++j) to[j] += static_cast<double>(row[j]) * pattern[j % kRowTaps];
}

static void outer_row(const double* weights, const double* pattern, int64_t count, float* row) {
  double factors[kPeriod];
  repeat_pattern(pattern, factors);
  int64_t j = 0;
  for (; j + kPeriod <= count; j += kPeriod) {
#pragma GCC unroll 9
    for (int v = 0; v < kRowTaps; ++v) {
      const Doubles product = doubles(weights + j + v * kDoubles) * doubles(factors + v * kDoubles);
      *reinterpret_cast<LooseFloats*>(row + j + v * kDoubles) = __builtin_convertvector(product, LooseFloats);
    }
  }
  for (; j < count; ++j) row[j] = static_cast<float>(weights[j] * pattern[j % kRowTaps]);
}

constexpr RowKernels kRowKernels = {dot_row, add_row, outer_row};

}  // namespace gsnet::cpu::GSNET_ISA
