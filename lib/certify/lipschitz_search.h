// How far a network is seen to stretch distances: a number from below, beside the bound from above.
#pragma once

#include "certify/attack_target.h"
#include "core/bound.h"
#include "core/random.h"

namespace gsnet {

struct LipschitzSearchSpec {
  int steps = 50;
  double distance_l2 = 0.25;  ///< of the pairs, in pixels; clipping may shorten it
};

struct LipschitzFind {
  /// The largest |f(x) - f(y)|_2 / |x - y|_2 of all pairs seen: pictures with pixels in [0, 1], logits as executed.
  Estimate quotient{0};
  Pixels pair;  ///< x and y of it; empty when nothing was seen
};

/// From each picture and a random neighbour, ascends the quotient: the difference y - x becomes the pullback of
/// f(y) - f(x) (power iteration on the Jacobian, averaged over both ends), the middle moves along the quotient's
/// gradient. Throws Error for rows that are no pictures of the target.
LipschitzFind lipschitz_search(AttackTarget& target, const Pixels& starts, RandomKey key,
                               const LipschitzSearchSpec& spec);

}  // namespace gsnet
