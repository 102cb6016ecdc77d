#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "backend/cpu/make.h"
#include "backend/reference/make.h"
#include "core/random.h"

namespace gsnet {

TEST_CASE("cpu: the exponential of a large skew matrix is exact to rounding", "[cpu][linalg]") {
  constexpr int64_t kSide = 512;
  const auto cpu = make_cpu_backend(2), reference = make_reference_backend(2);
  // Its largest eigenvalue is near 2, its 1-norm twenty times as large.
  Tensor a = Tensor::empty({1, kSide, kSide}, DType::f32);
  Random random{RandomKey(1)};
  for (int64_t i = 0; i < kSide; ++i) {
    a.data<float>()[i * kSide + i] = 0;
    for (int64_t j = 0; j < i; ++j) {
      const auto value = static_cast<float>(random.normal() / std::sqrt(kSide));
      a.data<float>()[i * kSide + j] = value;
      a.data<float>()[j * kSide + i] = -value;
    }
  }
  Tensor e = cpu->empty(a.shape()), exact = reference->empty(a.shape());
  cpu->matrix_exp(a, e);
  reference->matrix_exp(with_dtype(a, DType::f64), exact);
  double worst = 0;
  for (int64_t i = 0; i < e.numel(); ++i)
    worst = std::max(worst, std::abs(e.data<float>()[i] - exact.data<double>()[i]));
  CHECK(worst < 2e-6);
}

TEST_CASE("cpu: exponentials of what is not finite are refused, wherever it is", "[cpu][linalg]") {
  const auto cpu = make_cpu_backend(1);
  for (int64_t at = 0; at < 9; ++at) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Tensor a = Tensor::empty({1, 3, 3}, DType::f32), e = cpu->empty(a.shape());
      cpu->fill(0.5, a);
      a.data<float>()[at] = bad;
      CHECK_THROWS_WITH(cpu->matrix_exp(a, e), Catch::Contains("must be finite"));
    }
  }
}

}  // namespace gsnet
