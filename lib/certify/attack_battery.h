// A battery: attacks one after another on the pictures that survive, at several radii, and what it says of
// certificates.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "certify/attack.h"

namespace gsnet {

struct BatterySpec {
  std::vector<std::string> attacks = {"pgd", "apgd-ce", "apgd-t", "fab-t", "square"};  ///< names, in order
  std::vector<double> radii = {36.0 / 255};  ///< L2, pixels in [0, 1], ascending
  AttackSpec attack;                         ///< its radius is not read
  int64_t batch = 128;                       ///< pictures at a time
  RandomKey key;
};

struct AttackOutcome {
  bool right = false;  ///< the clean picture has its class, and no tie; others are not attacked
  /// To the nearest misclassified picture that was found, in double on the pixels as they were run; infinity: none.
  double distance_l2 = 0;
  int attack = -1;     ///< which of the spec's attacks found it
  int taken_for = -1;  ///< the class of the largest logit there but the label's
};

struct BatteryReport {
  std::vector<AttackOutcome> outcomes;
  Logits clean_logits;
  Pixels nearest;             ///< what was found, the clean picture where there is nothing
  std::vector<int64_t> runs;  ///< searches made by each attack (AttackFinds)

  int64_t right() const;
  /// Pictures that are right and for which nothing within the radius was found.
  int64_t survivors(double radius_l2) const;
  /// Pictures broken within the radius whose nearest misclassified picture attack number `attack` found.
  int64_t broken_by(int attack, double radius_l2) const;
};

/// Every candidate of every attack is judged here and nowhere else: evaluated anew without recording, refused when a
/// pixel leaves [0, 1], its distance measured. It counts at every radius that it lies within, so what is found at one
/// radius is not looked for again at a larger one. Throws Error for an unknown attack, radii that do not ascend from
/// above 0, labels out of range or not one a picture, a pixel outside [0, 1].
BatteryReport run_battery(
    AttackTarget& target, const Pixels& pictures, std::span<const int> labels, const BatterySpec& spec,
    const std::function<void(const std::string& attack, double radius_l2, int64_t done, int64_t total)>& progress = {});

/// Holds pictures that were made otherwise (common corruptions), one for each, against the report, as attack `number`:
/// those that are misclassified count like any find. Gives how many of them all are classified right.
int64_t judge_given(AttackTarget& target, const Pixels& pictures, std::span<const int> labels, const Pixels& given,
                    int number, int64_t batch, BatteryReport& report);

/// Pictures that are certified (right, with certified_l2[n] > 0) and broken all the same: something misclassified was
/// found no farther than that. None, if the certificates are true.
std::vector<int64_t> broken_certificates(const BatteryReport& report, std::span<const double> certified_l2);

}  // namespace gsnet
