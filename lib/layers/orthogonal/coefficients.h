// Polynomials that stand for exp on [-iR, iR], and proofs of how far they can stretch.
#pragma once

#include <string>
#include <vector>

#include "core/bound.h"

namespace gsnet {

enum class SeriesFamily : uint8_t {
  taylor,     ///< c_k = 1 / k!
  chebyshev,  ///< Jacobi-Anger on [-iR, iR], divided by its largest modulus there, so that it never expands
};

struct SeriesForm {
  SeriesFamily family = SeriesFamily::taylor;
  int degree = 12;  ///< convolutions a layer, 1 … 24

  bool operator==(const SeriesForm&) const = default;
};

/// c_0 … c_degree. `radius` R bounds the operator's norm; Taylor ignores it.
/// Throws Error for a degree outside 1 … 24 or a radius outside (0, 16].
std::vector<double> series_coefficients(const SeriesForm& form, double radius);

/// The least degree, 1 … 24, whose Chebyshev expansion is off by at most `error` on [-iR, iR]; 24 where none is.
int chebyshev_degree(double radius, double error);

/// max |p(i t)| over |t| <= radius for p with these real coefficients: by Bernstein coefficients of |p(i t)|^2, a
/// polynomial in t^2, on 64 pieces, rounded outward. For skew J with |J| <= radius this bounds |p(J)|, J being normal.
UpperBound series_bound(const std::vector<double>& coefficients, UpperBound radius);

/// The polynomial of least degree, 1 or more, that is left when the last terms of sum_k c_k J^k in Chebyshev
/// polynomials on [-iR, iR] are dropped and what is dropped stays below `error` there: Lanczos, "Applied Analysis"
/// (1956), VII. The same function, within `error`, by fewer convolutions where |J| is known to be small.
std::vector<double> economised(const std::vector<double>& coefficients, UpperBound radius, double error);

/// The polynomial of least degree, 1 or more, that is within `error` of 1 / p on [-iR, iR], by what its Chebyshev
/// expansion drops: of a skew J with |J| <= R it undoes p(J). Empty where p has a zero there or the degree would be
/// above 24.
std::vector<double> inverse_coefficients(const std::vector<double>& coefficients, double radius, double error);

std::string to_string(SeriesFamily family);

}  // namespace gsnet
