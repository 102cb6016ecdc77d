// Upper bounds of operator norms, in double, rounded outward: what certificates stand on.
#pragma once

#include "layers/module.h"

namespace gsnet {

/// The largest singular value of a matrix (R, C) of f32 or f64: the sharpest of l1·linf, Frobenius, Gram iteration and,
/// near an isometry, sqrt(1 + |W'W - I|_F). Throws Error for elements that are not finite.
LayerBound matrix_norm_bound(const Tensor& w);

/// The same of a block-diagonal matrix given as its blocks (G, R, C): the largest.
LayerBound block_norm_bound(const Tensor& blocks);

/// Distance |w_i - w_j| of rows i and j of a matrix, rounded up.
UpperBound row_distance(const Tensor& w, int64_t i, int64_t j);

}  // namespace gsnet
