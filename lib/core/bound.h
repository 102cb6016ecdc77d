// Two kinds of number that must never be confused: a proven upper bound, and an estimate from below or beside.
#pragma once

namespace gsnet {

/// A value proven to be at least the true one, rounding included. Only these enter a certificate.
class UpperBound {
 public:
  /// States that `value` is proven. Rounding of how it was computed is the caller's to cover (see outward()).
  static UpperBound proven(double value) { return UpperBound(value); }

  double value() const { return value_; }

  /// Product, sum and maximum of bounds of non-negative quantities, rounded up.
  UpperBound operator*(UpperBound other) const;
  UpperBound operator+(UpperBound other) const;
  UpperBound max(UpperBound other) const { return value_ >= other.value_ ? *this : other; }
  UpperBound min(UpperBound other) const { return value_ <= other.value_ ? *this : other; }

 private:
  explicit UpperBound(double value) : value_(value) {}
  double value_;
};

/// What power iteration, sampling or an attack gives: useful, not proven. There is no way from here to an UpperBound.
struct Estimate {
  double value;
};

/// A little more than x: x (1 + slack), rounded up; infinity and NaN become infinity.
double outward(double x, double slack = 0);

}  // namespace gsnet
