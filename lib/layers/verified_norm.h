// Proven spectral norms of dense matrices: what sharp bounds of layers are made of.
#pragma once

#include <complex>
#include <cstdint>
#include <span>

#include "core/bound.h"

namespace gsnet {

/// The largest spectral norm of a family of matrices, proven one after the other.
///
/// |A| <= s is proven by a Cholesky factorisation of s^2 I - A A* that succeeds in floating point (Rump, "Verification
/// of positive definiteness", BIT 46, 2006); s comes from a power iteration and is only as good as that, never wrong:
/// where the factorisation fails s grows. The bound ends within about 0.1 % above the largest norm.
class VerifiedNorm {
 public:
  /// Takes in a matrix (rows, columns), row-major. Throws Error for elements that are not finite.
  void add(std::span<const double> a, int64_t rows, int64_t columns);
  void add(std::span<const std::complex<double>> a, int64_t rows, int64_t columns);

  /// At least the spectral norm of every matrix taken in.
  UpperBound value() const;

 private:
  template <class T>
  void take(std::span<const T> a, int64_t rows, int64_t columns);

  double square_ = 0;  ///< s^2 that every factorisation so far succeeded with, or less
  double slack_ = 0;   ///< largest rounding error of forming and factorising s^2 I - A A*, to be added to s^2
};

/// 1 where the squares of these numbers, and squares of their sums, can be held in double; else the power of two to
/// divide them by first, near the largest.
double safe_unit(std::span<const double> a);

/// Gram iteration (Delattre et al., ICML 2023): the Schatten norm of order 2^(squarings + 2), an upper bound of the
/// spectral norm that is at most rank^(1 / order) above it. Rounded outward.
UpperBound gram_iteration_bound(std::span<const double> a, int64_t rows, int64_t columns, int squarings = 5);

}  // namespace gsnet
