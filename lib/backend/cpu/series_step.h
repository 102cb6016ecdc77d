// One convolution step of a series, by direct products, by tiles or by lines.
#pragma once

#include "backend/cpu/series_team.h"

namespace gsnet::cpu {

/// Floats of a team's scratch for series_step().
int64_t step_scratch_floats(const SeriesPlan& plan);
/// The convolution step of a task (none: -1), shared by the team: every member calls it equally often. Sets the parts
/// of `step` that follow from the plan. Members meet before and after.
void series_step(const SeriesPlan& plan, const Member& member, int64_t task, ConvStep step, float* scratch);

}  // namespace gsnet::cpu
