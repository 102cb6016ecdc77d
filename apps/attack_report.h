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
  std::vector<std::string> names;    ///< of the pictures
  std::vector<double> certified_l2;  ///< of the pictures as they were attacked; 0 where the class is wrong
  std::vector<CorruptedAccuracy> corruptions;
  std::vector<int64_t> violations;  ///< broken_certificates
  double lipschitz_found = 0;       ///< |f(x) - f(y)| / |x - y| of a pair of pictures
  double lipschitz_bound = 0;       ///< proven, pictures in [0, 1] to logits
  std::vector<std::pair<std::string, std::string>> settings;

  /// Pictures that are right with a certificate larger than the radius.
  int64_t certified(double radius_l2) const;
  /// Of the battery, or of a corruption.
  const std::string& attack_name(int number) const;
  /// The quotient found exceeds the bound by more than f32 rounding of a difference of logits can.
  bool lipschitz_violated() const { return lipschitz_found > lipschitz_bound * (1 + 1e-4); }
};

std::string attack_table(const AttackReport& report);
/// Keys: docs/json.md.
std::string attack_json(const AttackReport& report);
/// One sentence that names what was violated, empty if nothing was.
std::string violation_text(const AttackReport& report);
/// Tensors "pictures" (M, C, H, W), "index" (M), "label" (M), "distance_l2" (M): the nearest misclassified picture of
/// every picture that has one.
io::TensorFile broken_pictures(const AttackReport& report, const Shape& picture);

}  // namespace gsnet::apps
