// Dense matrices, mostly of weight size. Row-major; a rank-3 tensor is a batch of matrices.
#pragma once

#include "core/tensor.h"

namespace gsnet {

class LinalgKernels {
 public:
  virtual ~LinalgKernels() = default;
  /// y = op(a) op(b), op transposing the last two axes on request. Ranks (2, 2) or (3, 3) with equal batch.
  virtual void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& y) = 0;

  /// e[b] = exp(a[b]) for a (B, m, m): Taylor polynomial of degree 12 with scaling and squaring, relative error at
  /// rounding level (Higham, "Functions of Matrices", 10.3).
  virtual void matrix_exp(const Tensor& a, Tensor& e) = 0;
  /// da = the adjoint of the derivative of exp at a, applied to de: exact for the polynomial that matrix_exp evaluates.
  virtual void matrix_exp_backward(const Tensor& a, const Tensor& de, Tensor& da) = 0;

  /// q[b] = (I + a[b]) (I - a[b])^-1 for a (B, m, m); orthogonal when a is skew-symmetric.
  /// Throws Error when I - a is singular to working precision.
  virtual void cayley(const Tensor& a, Tensor& q) = 0;
  /// Given q = cayley(a): da = (I + q)' dq (I - a)^-1', exact.
  virtual void cayley_backward(const Tensor& a, const Tensor& q, const Tensor& dq, Tensor& da) = 0;

  /// Rows of unit Euclidean length: y[r] = w[r] / max(|w[r]|, tiny). w (R, C).
  virtual void normalise_rows(const Tensor& w, Tensor& y) = 0;
  virtual void normalise_rows_backward(const Tensor& w, const Tensor& dy, Tensor& dw) = 0;
};

}  // namespace gsnet
