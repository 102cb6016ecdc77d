// Singular values of dense matrices, in one place: Eigen's decomposition takes the compiler a minute.
#pragma once

#include "core/tensor.h"

namespace gsnet {

/// a = u diag(s) v' for an (m, n) matrix, k = min(m, n): u (m, k), s (k) descending, v' (k, n).
struct Svd {
  Tensor u, s, vt;
};

/// Divide and conquer. `a` is row-major f64 on the host, and so is what comes back.
Svd thin_svd(const Tensor& a);
/// (k), descending.
Tensor singular_values(const Tensor& a);

}  // namespace gsnet
