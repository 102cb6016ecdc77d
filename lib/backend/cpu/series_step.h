// One convolution step and one sum of weight gradients of a series, by direct products or by tiles.
#pragma once

#include <span>
#include <vector>

#include "backend/cpu/series_team.h"

namespace gsnet::cpu {

/// Floats of a team's scratch for series_step().
int64_t step_scratch_floats(const SeriesPlan& plan);
/// The convolution step of a task (none: -1), shared by the team: every member calls it equally often. Sets the parts
/// of `step` that follow from the plan. Members meet before and after.
void series_step(const SeriesPlan& plan, const Member& member, int64_t task, ConvStep step, float* scratch);

/// The gradients of some terms: what series_gradient() adds up.
struct GradientTerms {
  std::span<const float*const> a, columns;  ///< a term each
  float* gradient;                          ///< of the group, gradient_floats()
  bool accumulate;
};
int64_t gradient_scratch_floats(const SeriesPlan& plan, int64_t terms);
/// As series_step(): every member calls it equally often.
void series_gradient(const SeriesPlan& plan, const Member& member, int64_t task, const GradientTerms& terms,
                     float* scratch);
/// One run of output channels of one column block of a gradient, as [tap][channel of the run][in of the block]: where
/// it lies, or computed into scratch.
const float* gradient_taps(const SeriesPlan& plan, const float* gradient, int64_t block, int64_t run,
                           std::vector<float>& scratch);

}  // namespace gsnet::cpu
