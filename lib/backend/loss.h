// Losses on logits z (N, K) with labels (N) i32.
#pragma once

#include "core/tensor.h"

namespace gsnet {

/// Offset-temperature cross-entropy (Prach and Lampert, "AOL", ECCV 2022): t CE((z - offset e_y) / t).
/// Offset 0 and temperature 1 give the plain one.
struct CrossEntropySpec {
  double offset = 0;
  double temperature = 1;

  bool operator==(const CrossEntropySpec&) const = default;
};

class LossKernels {
 public:
  virtual ~LossKernels() = default;
  /// loss (N), and p (N, K) the softmax of (z - offset e_y) / t, saved for the backward pass.
  /// Labels outside [0, K) are an Error.
  virtual void cross_entropy(const CrossEntropySpec& spec, const Tensor& z, const Tensor& labels, Tensor& loss,
                             Tensor& p) = 0;
  /// dz = (p - e_y) dloss[n].
  virtual void cross_entropy_backward(const Tensor& p, const Tensor& labels, const Tensor& dloss, Tensor& dz) = 0;
  /// margin (N) = z_y - max_{j != y} z_j, and rival (N) i32 the first j that reaches the maximum. K >= 2.
  virtual void margin(const Tensor& z, const Tensor& labels, Tensor& margin, Tensor& rival) = 0;
  virtual void margin_backward(const Tensor& labels, const Tensor& rival, const Tensor& dmargin, Tensor& dz) = 0;
};

}  // namespace gsnet
