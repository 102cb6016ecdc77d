// How the learning rate moves.
#pragma once

#include <cstdint>
#include <vector>

namespace gsnet {

enum class ScheduleKind : uint8_t {
  constant,
  multistep,  ///< times `gamma` at each milestone
  cosine,     ///< half a cosine down to `final_fraction`
  one_cycle,  ///< linear up over `warmup`, half a cosine down to `final_fraction` (Smith and Topin, 2019)
};

struct ScheduleSpec {
  ScheduleKind kind = ScheduleKind::one_cycle;
  double warmup = 0.2;                           ///< share of all steps that rise linearly from `initial_fraction`
  double initial_fraction = 0.04;                ///< of the rate, at step 0 of a warm-up
  double final_fraction = 0.001;                 ///< of the rate, at the end
  std::vector<double> milestones = {0.5, 0.75};  ///< shares of all steps
  double gamma = 0.1;

  bool operator==(const ScheduleSpec&) const = default;
};

/// Factor of the rate for step `step` (from 0) of `steps`.
double schedule_factor(const ScheduleSpec& spec, int64_t step, int64_t steps);

}  // namespace gsnet
