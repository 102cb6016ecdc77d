#include "train/loss.h"

#include <numbers>

namespace gsnet {

Var training_loss(const Var& logits, const Tensor& labels, const LossSpec& spec) {
  Var loss = ops::mean(ops::cross_entropy(logits, labels, spec.cross_entropy));
  if (spec.certificate_weight != 0) {
    const Var certified = ops::mean(ops::relu(ops::margin(logits, labels)));
    loss = ops::add(loss, ops::scale(certified, -spec.certificate_weight / std::numbers::sqrt2));
  }
  return loss;
}

}  // namespace gsnet
