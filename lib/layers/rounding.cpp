#include "layers/rounding.h"

#include <cmath>

#include "layers/orthogonal/coefficients.h"

namespace gsnet {
namespace {

UpperBound up(double value) { return UpperBound::proven(outward(value, 1e-12)); }

/// What the last digits that subnormal numbers lack can cost a sum, times the largest number of outputs of a layer.
constexpr double kUnderflow = 0x1p-149 * 0x1p20;

}  // namespace

UpperBound rounding_factor(const Arithmetic& arithmetic, double roundings) {
  return up(std::expm1(roundings * std::log1p(arithmetic.unit_roundoff)));
}

RoundingBound operator+(const RoundingBound& a, const RoundingBound& b) {
  return {a.relative + b.relative, a.absolute + b.absolute};
}

RoundingBound product_rounding(const Arithmetic& arithmetic, int64_t products, UpperBound partial, UpperBound bias) {
  const int64_t block_sums = (products + 15) / 16;
  const double roundings =
      static_cast<double>(products * arithmetic.roundings_per_product + block_sums) + arithmetic.parts + 2;
  const UpperBound factor =
      rounding_factor(arithmetic, roundings) * up(std::sqrt(static_cast<double>(arithmetic.orders)));
  return {factor * partial, factor * bias + up(roundings * kUnderflow)};
}

RoundingBound chained(const RoundingBound& first, UpperBound first_stretch, UpperBound offset,
                      const RoundingBound& second, UpperBound second_stretch) {
  return {second_stretch * first.relative + second.relative * (first_stretch + first.relative),
          second_stretch * first.absolute + second.relative * (offset + first.absolute) + second.absolute};
}

namespace {

// J^k x from J^(k-1) x, each times c_k added up: a power's error is at most k M^(k-1) times that of one sum, M bounding
// J and what is left of it when products are left out.
RoundingBound power_rounding(const Arithmetic& arithmetic, const std::vector<double>& coefficients,
                             const RoundingBound& sum, UpperBound most) {
  const UpperBound few = rounding_factor(arithmetic, 2 * static_cast<double>(coefficients.size()) + 4);
  RoundingBound error;
  UpperBound power = UpperBound::proven(1);  // M^(k-1), and what errors of errors add to it
  for (size_t k = 0; k < coefficients.size(); ++k) {
    const UpperBound c = up(std::abs(coefficients[k])), growing = k == 0 ? power : power * (most + sum.relative);
    error.relative = error.relative + c * few * growing;
    if (k > 0) error.relative = error.relative + c * up(static_cast<double>(k)) * power * sum.relative;
    if (k > 0) error.absolute = error.absolute + c * up(static_cast<double>(k)) * power * sum.absolute;
    power = growing;
  }
  return error;
}

}  // namespace

// With r_m = c_m / c_{m-1}: u_K = x, u_{m-1} = x + r_m J u_m, y = c_0 u_0. A step carries the error of u_m on, adds
// that of a sum on u_m as executed, and a few roundings of |x| and |J u_m|.
RoundingBound series_rounding(const Arithmetic& arithmetic, const std::vector<double>& coefficients, int64_t products,
                              UpperBound norm, UpperBound partial) {
  const RoundingBound sum = product_rounding(arithmetic, products, partial, UpperBound::proven(0));
  if (!arithmetic.horner) return power_rounding(arithmetic, coefficients, sum, norm.max(partial));
  const UpperBound few = rounding_factor(arithmetic, 6);
  RoundingBound error;
  UpperBound iterate = UpperBound::proven(1);  // |u_m| / |x|
  for (size_t m = coefficients.size() - 1; m > 0; --m) {
    const UpperBound ratio = up(std::abs(coefficients[m] / coefficients[m - 1]));
    const UpperBound executed = iterate + error.relative;
    error.absolute = ratio * ((norm + sum.relative + few * norm) * error.absolute + sum.absolute);
    error.relative = ratio * (norm * error.relative + (sum.relative + few * norm) * executed) + few;
    std::vector<double> tail(coefficients.begin() + static_cast<int64_t>(m) - 1, coefficients.end());
    for (double& c : tail) c /= coefficients[m - 1];
    iterate = series_bound(tail, norm);
  }
  const UpperBound first = up(std::abs(coefficients[0]));
  return {first * error.relative, first * error.absolute};
}

RoundingBound bias_rounding(const Arithmetic& arithmetic, UpperBound stretch, UpperBound bias) {
  const UpperBound one = rounding_factor(arithmetic, 1);
  return {one * stretch * up(1.1), one * bias};
}

UpperBound bias_norm(const Tensor& bias, int64_t pixels) {
  const Tensor numbers = with_dtype(bias, DType::f64);
  double squares = 0;
  for (double b : numbers.host<double>()) squares += b * b;
  return up(std::sqrt(squares * static_cast<double>(pixels)));
}

}  // namespace gsnet
