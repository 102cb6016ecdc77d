// The sum of a weight gradient, by direct products or by tiles.
#pragma once

#include <span>
#include <vector>

#include "backend/cpu/series_team.h"

namespace gsnet::cpu {

/// Terms of one task whose products are added to a gradient.
struct GradientTerms {
  std::span<const float*const> a, columns;  ///< a term each; one where products wait
  float* gradient;                          ///< of the group, gradient_floats()
  bool first, last;                         ///< of the terms that the team adds to this gradient
};

/// What a member of a team remembers from call to call. With tiles, the frequencies of some terms wait for each other,
/// so that a gradient larger than the caches is read and written once for all of them.
struct GradientQueue {
  int64_t waiting = 0;
  bool begun = false;  ///< the gradient holds a sum already
};

/// How many chunks of terms wait for each other.
int64_t gradient_slots(const SeriesPlan& plan, int degree);
/// Floats of a team's scratch for series_gradient(), kept from call to call.
int64_t gradient_scratch_floats(const SeriesPlan& plan, int degree);

/// Every member of the team calls it equally often (without a task: -1). Members meet before.
void series_gradient(const SeriesPlan& plan, const Member& member, int64_t task, int degree, const GradientTerms& terms,
                     GradientQueue& queue, float* scratch);

/// One run of output channels of one column block of a gradient, as [tap][channel of the run][in of the block]: where
/// it lies, or computed into scratch.
const float* gradient_taps(const SeriesPlan& plan, const float* gradient, int64_t block, int64_t run,
                           std::vector<float>& scratch);

}  // namespace gsnet::cpu
