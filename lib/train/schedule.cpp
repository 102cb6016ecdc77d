#include "train/schedule.h"

#include <cmath>
#include <numbers>

namespace gsnet {
namespace {

double half_cosine(double progress, double final_fraction) {
  return final_fraction + (1 - final_fraction) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

}  // namespace

double schedule_factor(const ScheduleSpec& spec, int64_t step, int64_t steps) {
  const double share = steps > 0 ? static_cast<double>(step) / static_cast<double>(steps) : 0;
  switch (spec.kind) {
    case ScheduleKind::constant:
      return 1;
    case ScheduleKind::multistep: {
      double factor = 1;
      for (double milestone : spec.milestones) {
        if (share >= milestone) factor *= spec.gamma;
      }
      return factor;
    }
    case ScheduleKind::cosine:
      return half_cosine(share, spec.final_fraction);
    case ScheduleKind::one_cycle:
      if (share < spec.warmup) return spec.initial_fraction + (1 - spec.initial_fraction) * share / spec.warmup;
      return half_cosine((share - spec.warmup) / (1 - spec.warmup), spec.final_fraction);
  }
  return 1;
}

}  // namespace gsnet
