// APGD in L2.
#include <algorithm>
#include <cmath>
#include <set>

#include "certify/attack_parts.h"

namespace gsnet {
namespace {

constexpr double kMomentum = 0.25;     // 1 - alpha
constexpr double kRisesNeeded = 0.75;  // rho

/// Steps after which the step size is looked at: p_1 = 0.22, p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06).
std::set<int> checkpoints(int steps) {
  std::set<int> at;
  double before = 0, p = 0.22;
  while (p <= 1) {
    at.insert(std::max(1, static_cast<int>(std::ceil(p * steps))));
    const double next = p + std::max(p - before - 0.03, 0.06);
    before = p;
    p = next;
  }
  return at;
}

/// One run over the open pictures, all of which keep their places in the task.
class Climb {
 public:
  Climb(AttackTarget& target, const AttackTask& task, const AttackSpec& spec, AttackLoss loss, std::vector<int> targets)
      : target_(target),
        task_(task),
        spec_(spec),
        loss_(loss),
        targets_(std::move(targets)),
        states_(task.labels.size(), State{.step = 2 * spec.radius_l2}),
        x_(task.clean),
        before_(task.clean),
        best_(task.clean),
        gradient_(task.count(), task.clean.size),
        best_gradient_(gradient_) {}

  void run(Candidates& candidates, std::vector<int64_t> open, uint64_t stream) {
    for (int64_t n : open) {
      Random random(task_.keys[static_cast<size_t>(n)].with(stream));
      random_start(task_.clean[n], spec_.radius_l2, spec_.radius_l2, random, x_[n]);
      std::ranges::copy(x_[n], before_[n].begin());
    }
    const std::set<int> checks = checkpoints(spec_.steps);
    int checked = 0;
    evaluate(candidates, open, true);
    for (int step = 1; step <= spec_.steps; ++step) {
      open = candidates.open(open);
      if (open.empty()) return;
      for (int64_t n : open) advance(n, step == 1 ? 0 : kMomentum);
      evaluate(candidates, open, false);
      if (!checks.contains(step)) continue;
      for (int64_t n : open) check(n, step - checked);
      checked = step;
    }
  }

 private:
  struct State {
    double step = 0, loss = 0, best = 0, best_at_check = 0;
    int rises = 0;
    bool halved = true;  // no second condition at the first checkpoint
  };

  void evaluate(Candidates& candidates, const std::vector<int64_t>& open, bool first) {
    const LossPass pass = loss_pass(target_, x_.at(open), loss_, open, task_.labels, targets_);
    for (size_t i = 0; i < open.size(); ++i) {
      const int64_t n = open[i], row = static_cast<int64_t>(i);
      State& state = states_[static_cast<size_t>(n)];
      candidates.offer(n, x_[n], pass.logits[row]);
      std::ranges::copy(pass.gradient[row], gradient_[n].begin());
      if (!first && pass.loss[i] > state.loss) ++state.rises;
      state.loss = pass.loss[i];
      if (!first && !(state.loss > state.best)) continue;
      state.best = state.loss;
      if (first) state.best_at_check = state.loss;
      std::ranges::copy(x_[n], best_[n].begin());
      std::ranges::copy(gradient_[n], best_gradient_[n].begin());
    }
  }

  /// x <- P(x + (1 - m) (P(x + step g) - x) + m (x - before)).
  void advance(int64_t n, double momentum) {
    const std::span<float> x = x_[n], before = before_[n];
    std::vector<float> next(x.begin(), x.end());
    step_along(gradient_[n], states_[static_cast<size_t>(n)].step, next);
    project_to_ball(task_.clean[n], spec_.radius_l2, next);
    for (size_t i = 0; i < next.size(); ++i) {
      const auto here = static_cast<double>(x[i]);
      const double along = static_cast<double>(next[i]) - here, inertia = here - static_cast<double>(before[i]);
      next[i] = static_cast<float>(here + (1 - momentum) * along + momentum * inertia);
    }
    project_to_ball(task_.clean[n], spec_.radius_l2, next);
    std::ranges::copy(x, before.begin());
    std::ranges::copy(next, x.begin());
  }

  void check(int64_t n, int length) {
    State& state = states_[static_cast<size_t>(n)];
    const bool few_rises = state.rises < kRisesNeeded * length;
    const bool stuck = !state.halved && !(state.best > state.best_at_check);
    state.halved = few_rises || stuck;
    state.rises = 0;
    state.best_at_check = state.best;
    if (!state.halved) return;
    state.step /= 2;
    state.loss = state.best;
    std::ranges::copy(best_[n], x_[n].begin());
    std::ranges::copy(best_[n], before_[n].begin());
    std::ranges::copy(best_gradient_[n], gradient_[n].begin());
  }

  AttackTarget& target_;
  const AttackTask& task_;
  const AttackSpec& spec_;
  AttackLoss loss_;
  std::vector<int> targets_;
  std::vector<State> states_;
  Pixels x_, before_, best_, gradient_, best_gradient_;
};

}  // namespace

AttackFinds apgd_ce_attack(AttackTarget& target, const AttackTask& task, const AttackSpec& spec) {
  Candidates candidates(task);
  Climb(target, task, spec, AttackLoss::cross_entropy, {}).run(candidates, candidates.open(), 0);
  return {candidates.take(), task.count()};
}

AttackFinds apgd_t_attack(AttackTarget& target, const AttackTask& task, const AttackSpec& spec) {
  Candidates candidates(task);
  int64_t runs = 0;
  const std::vector<std::vector<int>> rivals = attack_targets(target, task, spec.targets);
  for (size_t rank = 0; !rivals.empty() && rank < rivals[0].size(); ++rank) {
    const std::vector<int64_t> open = candidates.open();
    if (open.empty()) break;
    runs += static_cast<int64_t>(open.size());
    std::vector<int> targets(rivals.size());
    std::ranges::transform(rivals, targets.begin(), [&](const std::vector<int>& of_one) { return of_one[rank]; });
    Climb(target, task, spec, AttackLoss::targeted_dlr, targets).run(candidates, open, rank);
  }
  return {candidates.take(), runs};
}

}  // namespace gsnet
