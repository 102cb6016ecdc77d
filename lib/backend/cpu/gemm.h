// Matrix products by oneDNN. Their stack pointer may lie in the heap (its issue 4845, up to 3.11 at least): a
// program that handles signals meanwhile must do so on an alternate stack (SA_ONSTACK), or the heap is written over.
#pragma once

#include <cstdint>

namespace gsnet::cpu {

/// y (rows, columns) = scale op(a) op(b), row-major; strides are floats from row to row as stored.
struct Product {
  int64_t rows, columns, inner;
  bool transpose_a = false, transpose_b = false;
  int64_t stride_a, stride_b, stride_y;
  float scale = 1;

  /// Of whole matrices.
  static Product dense(int64_t rows, int64_t columns, int64_t inner, bool transpose_a, bool transpose_b) {
    return {
        rows,    columns, inner, transpose_a, transpose_b, transpose_a ? rows : inner, transpose_b ? inner : columns,
        columns, 1};
  }
};

void multiply(int threads, const Product& product, const float* a, const float* b, float* y);

/// y = scale a b (m, m), or scale a b' with b (m, inner), where the result is known to be symmetric: little more than
/// half the work.
struct SymmetricProduct {
  int64_t m, inner;
  bool transpose_b;
  float scale;
};
void multiply_symmetric(int threads, const SymmetricProduct& product, const float* a, const float* b, float* y);

}  // namespace gsnet::cpu
