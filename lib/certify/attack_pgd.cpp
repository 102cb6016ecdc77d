// PGD in L2.
#include <cmath>

#include "certify/attack_parts.h"

namespace gsnet {

AttackFinds pgd_attack(AttackTarget& target, const AttackTask& task, const AttackSpec& spec) {
  Candidates candidates(task);
  int64_t runs = 0;
  const double length = 2.5 * spec.radius_l2 / spec.steps, numbers = static_cast<double>(task.clean.size);
  for (int restart = 0; restart < spec.restarts; ++restart) {
    std::vector<int64_t> open = candidates.open();
    if (open.empty()) break;
    runs += static_cast<int64_t>(open.size());
    Pixels x = task.clean;
    for (int64_t n : open) {
      if (restart == 0) continue;
      Random random(task.keys[static_cast<size_t>(n)].with(static_cast<uint64_t>(restart)));
      const double far = spec.radius_l2 * std::pow(random.uniform(), 1 / numbers);
      random_start(task.clean[n], far, spec.radius_l2, random, x[n]);
    }
    const AttackLoss loss = restart % 2 == 0 ? AttackLoss::cross_entropy : AttackLoss::margin;
    for (int step = 0; step <= spec.steps && !open.empty(); ++step) {
      const LossPass pass = loss_pass(target, x.at(open), loss, open, task.labels, {});
      for (size_t i = 0; i < open.size(); ++i) {
        const int64_t n = open[i], row = static_cast<int64_t>(i);
        candidates.offer(n, x[n], pass.logits[row]);
        step_along(pass.gradient[row], length, x[n]);
        project_to_ball(task.clean[n], spec.radius_l2, x[n]);
      }
      open = candidates.open(open);
    }
  }
  return {candidates.take(), runs};
}

}  // namespace gsnet
