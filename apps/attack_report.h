// What `gsnet attack` has to say: a table for people, JSON for programs, the pictures that broke the network.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "certify/attack_battery.h"
#include "io/safetensors.h"

namespace gsnet::apps {

/// Accuracy on the pictures under one common corruption.
struct CorruptedAccuracy {
  std::string name;  ///< "gaussian_noise:3"
  double accuracy = 0;
};

struct AttackReport {
  BatterySpec spec;
  BatteryReport battery;
  std::vector<int> labels;
  std::vector<std::string> names;  ///< of the pictures
  /// Of the pictures as they were attacked; 0 where the class is wrong. The second for the arithmetic that ran, in
  /// which attacks run: only these can be refuted.
  std::vector<double> certified_l2, executed_l2;
  bool executed = true;  ///< without it rounding errors are not bounded: attacks are held against the first,
                         ///< executed_l2 is empty and lipschitz_certain 0
  std::vector<CorruptedAccuracy> corruptions;
  std::vector<int64_t> violations;  ///< broken_certificates of refutable_l2()
  /// Broken within the radius for real arithmetic but not within that as executed: by rounding errors, no violation.
  std::vector<int64_t> broken_by_rounding;
  double lipschitz_found = 0;    ///< |f(x) - f(y)| / |x - y| of a pair of pictures, logits as executed
  double lipschitz_certain = 0;  ///< what is left of it when their rounding errors are taken off
  double lipschitz_bound = 0;    ///< proven, pictures in [0, 1] to logits
  std::vector<std::pair<std::string, std::string>> settings;

  /// Pictures that are right with a certificate larger than the radius, one of certified_l2 or executed_l2.
  int64_t certified(const std::vector<double>& radii_l2, double radius_l2) const;
  const std::vector<double>& refutable_l2() const { return executed ? executed_l2 : certified_l2; }
  /// Of the battery, or of a corruption.
  const std::string& attack_name(int number) const;
  bool lipschitz_violated() const { return lipschitz_certain > lipschitz_bound; }
};

std::string attack_table(const AttackReport& report);
/// Keys: docs/json.md.
std::string attack_json(const AttackReport& report);
/// One sentence that names what was violated, empty if nothing was.
std::string violation_text(const AttackReport& report);
/// Tensors "pictures" (M, C, H, W), "index" (M), "label" (M), "taken_for" (M), "distance_l2" (M): the nearest
/// misclassified picture of every picture that has one. The metadata name the order of the channels.
io::TensorFile broken_pictures(const AttackReport& report, const Shape& picture, ChannelOrder order);

}  // namespace gsnet::apps
