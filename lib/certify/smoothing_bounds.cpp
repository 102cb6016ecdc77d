#include "certify/smoothing_bounds.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "core/error.h"

namespace gsnet {
namespace {

constexpr double kUnit = std::numeric_limits<double>::epsilon();

/// At least log C(n, k). lgamma is taken to be good to 8 units in the last place (glibc documents 5).
double log_binomial_up(double n, double k) {
  const double a = std::lgamma(n + 1), b = std::lgamma(k + 1), c = std::lgamma(n - k + 1);
  return a - b - c + 16 * kUnit * (a + b + c);
}

/// At least P(Binomial(n, p) >= k), 0 < p < 1: all terms are positive and nothing cancels; what is left out is smaller
/// than a geometric series. Infinity where the terms do not fall from k on: nothing is claimed there.
double binomial_tail_up(double n, double k, double log_choose, double p) {
  const double odds = p / (1 - p), log_p = k * std::log(p), log_q = (n - k) * std::log1p(-p);
  const double first = std::exp(log_choose + log_p + log_q + 16 * kUnit * (1 - log_p - log_q));
  double sum = 1, term = 1, terms = 1;
  for (auto left = static_cast<int64_t>(n - k); left > 0; --left, ++terms) {
    const auto more = static_cast<double>(left);
    const double ratio = more / (n - more + 1) * odds;  // falls with `left`
    if (ratio >= 1) return std::numeric_limits<double>::infinity();
    if (term * ratio / (1 - ratio) < kUnit) {
      sum += kUnit;
      break;
    }
    sum += term *= ratio;
  }
  return first * sum * (1 + 32 * kUnit * terms);  // each term carries a few units from each ratio before it
}

/// The largest double x in [low, high] found by bisection for which holds(x); holds(low) must be true.
template <class Holds>
double largest(double low, double high, Holds&& holds) {
  if (holds(high)) return high;
  for (;;) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return low;
    (holds(middle) ? low : high) = middle;
  }
}

}  // namespace

double proportion_lower_bound(int64_t hits, int64_t samples, double alpha) {
  GSNET_CHECK(samples >= 1 && samples <= int64_t{1} << 40 && hits >= 0 && hits <= samples && alpha > 0 && alpha < 0.5,
              fmt::format("[smoothing] no proportion: {} of {} at level {}", hits, samples, alpha));
  if (hits == 0) return 0;
  const auto n = static_cast<double>(samples), k = static_cast<double>(hits);
  const double choose = log_binomial_up(n, k);
  return largest(0, 1, [&](double p) { return p == 0 || (p < 1 && binomial_tail_up(n, k, choose, p) <= alpha); });
}

double proportion_upper_bound(int64_t hits, int64_t samples, double alpha) {
  return std::nextafter(1 - proportion_lower_bound(samples - hits, samples, alpha), 2.0);
}

double normal_quantile_lower_bound(double p) {
  GSNET_CHECK(p < 1, fmt::format("[smoothing] no quantile of {}", p));
  if (!(p > 0.5)) return 0;
  const double above = 1 - p;  // exact
  // Phi(-z) = erfc(z / sqrt 2) / 2, which for z <= 9 is good to 1e-13 relatively, the rounding of its argument
  // included.
  return largest(0, 9, [&](double z) { return 0.5 * std::erfc(z / std::numbers::sqrt2) * (1 - 1e-12) >= above; });
}

}  // namespace gsnet
