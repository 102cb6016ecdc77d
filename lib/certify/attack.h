// Attacks: searches for pictures near a given one that the network takes for something else. They prove nothing when
// they fail, and refute a certificate when they succeed inside its radius. To add one: a function below, a row in
// attack.cpp, a row in tests/certify/test_attack.cpp.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "certify/attack_target.h"
#include "core/random.h"

namespace gsnet {

struct AttackSpec {
  double radius_l2 = 36.0 / 255;  ///< pixels in [0, 1]
  int steps = 100;                ///< gradient steps a run
  int restarts = 10;              ///< runs of pgd, of which the first begins at the picture itself
  int targets = 9;                ///< rival classes that targeted attacks try, the likeliest first
  int queries = 5000;             ///< evaluations of square
};

/// Pictures with their classes, all right. Each has its own stream of random numbers, so that what is found for one
/// does not depend on its company.
struct AttackTask {
  Pixels clean;
  std::vector<int> labels;
  std::vector<RandomKey> keys;

  int64_t count() const { return clean.count(); }
};

struct AttackFinds {
  /// For each picture of the task the best that was found, whether it is misclassified or not: the caller evaluates it.
  /// Pixels in [0, 1], no farther than the radius (fab: at any distance).
  Pixels pictures;
  /// Searches that were made: one for each picture, restart and target.
  int64_t runs = 0;
};

struct Attack {
  const char* name;
  AttackFinds (*run)(AttackTarget& target, const AttackTask& task, const AttackSpec& spec);
};

std::span<const Attack> attacks();
/// Throws Error naming the attacks there are.
const Attack& find_attack(const std::string& name);

/// Projected gradient ascent with steps of 2.5 radius / steps along the normalised gradient (Madry et al., ICLR 2018);
/// restarts from points uniform in the ball, by turns on cross-entropy and margin.
AttackFinds pgd_attack(AttackTarget& target, const AttackTask& task, const AttackSpec& spec);

/// APGD (Croce and Hein, ICML 2020, arXiv 2003.01690): momentum, a step that halves where the loss stalls, going back
/// to the best point then. On cross-entropy, and on the targeted difference of logits ratio.
AttackFinds apgd_ce_attack(AttackTarget& target, const AttackTask& task, const AttackSpec& spec);
AttackFinds apgd_t_attack(AttackTarget& target, const AttackTask& task, const AttackSpec& spec);

/// FAB (Croce and Hein, ICML 2020, arXiv 1907.02044), targeted: looks for the nearest misclassified picture by
/// projections onto the linearised boundary; the radius only decides after which target it stops.
AttackFinds fab_attack(AttackTarget& target, const AttackTask& task, const AttackSpec& spec);

/// Square Attack (Andriushchenko et al., ECCV 2020, arXiv 1912.00049): random search without gradients. Each proposal
/// moves the mass of two windows into one.
AttackFinds square_attack(AttackTarget& target, const AttackTask& task, const AttackSpec& spec);

}  // namespace gsnet
