// Gradients against central differences.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "core/tensor.h"

namespace gsnet::test {

/// Moves every element of `changed`, f64 and read by `loss`, and compares the loss's slope with what was found: within
/// a part of it, or within `margin`.
template <class Loss>
void check_differences(Tensor& changed, const std::vector<double>& found, Loss&& loss, double part, double margin) {
  for (size_t i = 0; i < found.size(); ++i) {
    double& value = changed.data<double>()[i];
    const double kept = value, step = 1e-6 * std::max(0.01, std::abs(kept));
    value = kept + step;
    const double above = loss();
    value = kept - step;
    const double below = loss();
    value = kept;
    CHECK(found[i] == Approx((above - below) / (2 * step)).epsilon(part).margin(margin));
  }
}

}  // namespace gsnet::test
