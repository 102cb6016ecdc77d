// Sums over rows of a 3x3 kernel, (in; tap), one instruction set each, in double: what the bilinear forms of kernels
// (four_forms.cpp) are made of.
#pragma once

#include <cstdint>

namespace gsnet::cpu {

constexpr int64_t kRowTaps = 9;

struct RowKernels {
  /// sums[t] = sum of row[j] weights[j] over j = t, t + 9, …
  void (*dot)(const float* row, const double* weights, int64_t count, double* sums);
  /// to[j] += row[j] pattern[j % 9]
  void (*add)(const float* row, const double* pattern, int64_t count, double* to);
  /// row[j] = weights[j] pattern[j % 9]
  void (*outer)(const double* weights, const double* pattern, int64_t count, float* row);
};

/// Compiled for this instruction set, whether or not the processor has it.
const RowKernels& row_kernels_base();
const RowKernels& row_kernels_avx2();
const RowKernels& row_kernels_avx512();

/// The best that the processor has.
const RowKernels& row_kernels();

}  // namespace gsnet::cpu
