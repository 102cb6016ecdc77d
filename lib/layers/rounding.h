// Rounding errors of layers as executed, bounded a priori: what certificates for the arithmetic that ran stand on.
// The theorem and its proof are in docs/certificates.md.
#pragma once

#include <span>
#include <vector>

#include "backend/backend.h"
#include "core/bound.h"
#include "core/tensor.h"

namespace gsnet {

/// For every input x as executed: |executed(x) - layer(x)|_2 <= relative |x|_2 + absolute, where layer(x) is real
/// arithmetic on the weights as executed.
struct RoundingBound {
  UpperBound relative = UpperBound::proven(0);
  UpperBound absolute = UpperBound::proven(0);
};

/// (1 + u)^n - 1 for n roundings, rounded up.
UpperBound rounding_factor(const Arithmetic& arithmetic, double roundings);

/// Sums of `products` products each. `partial` bounds the norm of the operator when any of the products are left out,
/// the same for all outputs of a pixel: for a convolution sqrt(Kh Kw) times the norm of its kernel as (out) x (in, h,
/// w), for a matrix its norm. Covers any order of summation. `bias` is the norm of what is added besides.
RoundingBound product_rounding(const Arithmetic& arithmetic, int64_t products, UpperBound partial, UpperBound bias);

/// A layer after a layer. `stretch` are their Lipschitz bounds, `offset` |first(0)|.
RoundingBound chained(const RoundingBound& first, UpperBound first_stretch, UpperBound offset,
                      const RoundingBound& second, UpperBound second_stretch);

/// y = sum_k c_k J^k x by Horner (backend/series.h) for skew J with |J| <= norm; `partial` as above, for J.
RoundingBound series_rounding(const Arithmetic& arithmetic, const std::vector<double>& coefficients, int64_t products,
                              UpperBound norm, UpperBound partial);

/// One addition of a bias (C) to a map of `pixels` whose norm is at most stretch |x| beforehand.
RoundingBound bias_rounding(const Arithmetic& arithmetic, UpperBound stretch, UpperBound bias);

/// |b|_2 of a bias (C) as a map of `pixels`, rounded up.
UpperBound bias_norm(const Tensor& bias, int64_t pixels);

RoundingBound operator+(const RoundingBound& a, const RoundingBound& b);

}  // namespace gsnet
