// What the attacks share.
#pragma once

#include <vector>

#include "certify/attack.h"
#include "certify/attack_ball.h"
#include "certify/attack_loss.h"

namespace gsnet {

/// The picture of lowest margin that was seen of each picture under attack.
class Candidates {
 public:
  explicit Candidates(const AttackTask& task);

  void offer(int64_t n, std::span<const float> x, std::span<const double> z);
  /// Places among `of` (first form: all) that have no clearly misclassified candidate yet: by more than what rounding
  /// changes between two evaluations.
  std::vector<int64_t> open() const;
  std::vector<int64_t> open(std::span<const int64_t> of) const;
  Pixels take() { return std::move(pictures_); }

 private:
  std::vector<int> labels_;
  Pixels pictures_;
  std::vector<double> margin_;
  std::vector<char> broken_;
};

/// Values, logits and gradients of a loss at pictures x; row i has label labels[places[i]] and target
/// targets[places[i]] (`targets` may be empty for an untargeted loss). Each gradient is scaled by a positive number of
/// its own, which keeps a saturated cross-entropy from vanishing in f32.
struct LossPass {
  Logits logits;
  Pixels gradient;
  std::vector<double> loss;
};
LossPass loss_pass(AttackTarget& target, const Pixels& x, AttackLoss loss, std::span<const int64_t> places,
                   std::span<const int> labels, std::span<const int> targets);

/// For each picture of the task the classes that targeted attacks try: likeliest_rivals on the clean picture.
std::vector<std::vector<int>> attack_targets(AttackTarget& target, const AttackTask& task, int count);

}  // namespace gsnet
