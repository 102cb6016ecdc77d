#include "certify/lipschitz_search.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "certify/attack_ball.h"

namespace gsnet {
namespace {

/// Of the distance: how far the middle of a pair moves in the first step; later ones are shorter, down to none.
constexpr double kFirstMove = 1;

/// |f(x) - f(y)| / |x - y| of the pair in rows `row` and row + 1.
double quotient_of(const Logits& z, const Pixels& pairs, int64_t row) {
  double sum = 0;
  for (size_t k = 0; k < static_cast<size_t>(z.size); ++k) sum += std::pow(z[row + 1][k] - z[row][k], 2);
  return std::sqrt(sum) / distance_l2(pairs[row], pairs[row + 1]);
}

/// Rows 2 i and 2 i + 1 of `pairs` are x and y. dz = f(x) - f(y) and f(y) - f(x); quotients are kept.
class Search {
 public:
  Search(AttackTarget& target, const Pixels& starts, RandomKey key, const LipschitzSearchSpec& spec)
      : target_(target), spec_(spec), pairs_(2 * starts.count(), starts.size) {
    for (int64_t i = 0; i < starts.count(); ++i) {
      Random random(key.with(static_cast<uint64_t>(i)));
      std::ranges::copy(starts[i], pairs_[2 * i].begin());
      random_start(starts[i], spec.distance_l2, spec.distance_l2, random, pairs_[2 * i + 1]);
    }
  }

  LipschitzFind run() {
    for (int step = 0; step <= spec_.steps; ++step) {
      const AttackTarget::Pass pass = target_.pass(pairs_, [this](const Logits& z, Logits& dz) { differences(z, dz); });
      const double move = kFirstMove * (1 - static_cast<double>(step) / spec_.steps) * spec_.distance_l2;
      for (int64_t i = 0; 2 * i < pairs_.count(); ++i) ascend(pass.gradient, i, move);
    }
    return judged();
  }

 private:
  /// The quotient of the best pair as ordinary evaluation has it.
  LipschitzFind judged() {
    if (find_.pair.count() < 2) return {};
    const Logits z = target_.logits(find_.pair);
    find_.quotient = Estimate{quotient_of(z, find_.pair, 0)};
    return std::move(find_);
  }

  void differences(const Logits& z, Logits& dz) {
    for (int64_t i = 0; 2 * i < z.count(); ++i) {
      for (size_t k = 0; k < static_cast<size_t>(z.size); ++k)
        dz[2 * i][k] = dz[2 * i + 1][k] = z[2 * i + 1][k] - z[2 * i][k];
      const double quotient = quotient_of(z, pairs_, 2 * i);
      if (!(quotient > find_.quotient.value) || !std::isfinite(quotient)) continue;
      const std::array<int64_t, 2> ends = {2 * i, 2 * i + 1};
      find_ = {Estimate{quotient}, pairs_.at(ends)};
    }
  }

  /// The gradients hold J(x)' d and J(y)' d with d = f(y) - f(x).
  void ascend(const Pixels& gradient, int64_t i, double move) {
    const std::span<float> x = pairs_[2 * i], y = pairs_[2 * i + 1];
    std::vector<float> middle(x.size()), along(x.size()), rise(x.size()), end(x.size(), 0.0F);
    for (size_t k = 0; k < x.size(); ++k) {
      middle[k] = (x[k] + y[k]) / 2;
      along[k] = gradient[2 * i][k] + gradient[2 * i + 1][k];
      rise[k] = gradient[2 * i + 1][k] - gradient[2 * i][k];
    }
    step_along(rise, move, middle);
    step_along(along, spec_.distance_l2 / 2, end);
    for (size_t k = 0; k < x.size(); ++k) {
      x[k] = std::clamp(middle[k] - end[k], 0.0F, 1.0F);
      y[k] = std::clamp(middle[k] + end[k], 0.0F, 1.0F);
    }
  }

  AttackTarget& target_;
  LipschitzSearchSpec spec_;
  Pixels pairs_;
  LipschitzFind find_;
};

}  // namespace

LipschitzFind lipschitz_search(AttackTarget& target, const Pixels& starts, RandomKey key,
                               const LipschitzSearchSpec& spec) {
  return Search(target, starts, key, spec).run();
}

}  // namespace gsnet
