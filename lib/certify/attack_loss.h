// What attacks maximise, as functions of one picture's logits z (K). All in double.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gsnet {

/// z_label less the largest other logit; minus infinity where a logit is not finite. A picture counts as classified
/// right only if this is positive: ties are wrong, as in certificates.
double attack_margin(std::span<const double> z, int label);

/// The `count` classes other than the label with the largest logits, largest first (fewer where there are fewer).
std::vector<int> likeliest_rivals(std::span<const double> z, int label, int count);

enum class AttackLoss : uint8_t {
  cross_entropy,    ///< of the label
  margin,           ///< largest other logit - z_label
  targeted_margin,  ///< z_target - z_label
  targeted_dlr,     ///< (z_target - z_label) / (z_(1) - (z_(3) + z_(4)) / 2), z_(i) the i-th largest logit: difference
                    ///< of logits ratio (Croce and Hein, ICML 2020); with fewer than four classes targeted_margin
};

/// The loss, and dz its gradient. `target` matters to the targeted losses only.
double attack_loss(AttackLoss loss, std::span<const double> z, int label, int target, std::span<double> dz);

}  // namespace gsnet
