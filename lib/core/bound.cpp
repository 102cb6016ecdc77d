#include "core/bound.h"

#include <cmath>
#include <limits>

namespace gsnet {

double outward(double x, double slack) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double scaled = x * (1 + slack);
  return std::isnan(scaled) ? kInfinity : std::nextafter(scaled, kInfinity);
}

UpperBound UpperBound::operator*(UpperBound other) const {
  if (value_ == 1) return other;
  if (other.value_ == 1) return *this;
  return UpperBound(outward(value_ * other.value_));
}

UpperBound UpperBound::operator+(UpperBound other) const { return UpperBound(outward(value_ + other.value_)); }

}  // namespace gsnet
