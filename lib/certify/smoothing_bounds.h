// The two inverse functions of a smoothing certificate, each rounded to the safe side.
#pragma once

#include <cstdint>

namespace gsnet {

/// Clopper and Pearson's (1934) lower bound of a probability of which `hits` of `samples` independent trials came true:
/// the largest p, rounded down, with P(Binomial(samples, p) >= hits) <= alpha. Below the truth in all but a share alpha
/// of all experiments. Throws Error unless 0 <= hits <= samples, 1 <= samples <= 2^40, 0 < alpha < 1/2.
double proportion_lower_bound(int64_t hits, int64_t samples, double alpha);

/// The same from above.
double proportion_upper_bound(int64_t hits, int64_t samples, double alpha);

/// Phi^-1(p) of the standard normal distribution, rounded down; 0 for p <= 1/2, p < 1.
double normal_quantile_lower_bound(double p);

}  // namespace gsnet
