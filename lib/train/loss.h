// What training minimises.
#pragma once

#include "autograd/ops.h"

namespace gsnet {

struct LossSpec {
  /// Plain, or with an offset on the true class and a temperature, both in units of the logits.
  CrossEntropySpec cross_entropy;
  /// Certificate regularisation (Singla et al., ICLR 2022): minus this much times the mean of relu(margin / sqrt 2).
  double certificate_weight = 0;

  bool operator==(const LossSpec&) const = default;
};

/// (1): the mean loss of logits (N, K) with labels (N) i32.
Var training_loss(const Var& logits, const Tensor& labels, const LossSpec& spec);

}  // namespace gsnet
