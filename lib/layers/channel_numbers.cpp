#include "layers/channel_numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace gsnet {

int64_t channels_of(const Shape& x) {
  GSNET_CHECK(x.rank() == 3 || x.rank() == 1, fmt::format("needs (C, H, W) or (C), got {}", to_string(x)));
  return x[0];
}

Tensor filled(Backend& backend, int64_t channels, double value) {
  GSNET_CHECK(std::isfinite(value), fmt::format("needs a finite number, got {}", value));
  Tensor made = backend.empty({channels});
  backend.fill(value, made);
  return made;
}

UpperBound largest_number(Backend& backend, const Tensor& numbers) {
  double largest = 0;
  const Tensor host = with_dtype(backend.download(numbers), DType::f64);
  for (const double value : host.host<double>()) {
    GSNET_CHECK(std::isfinite(value), fmt::format("has a number that is not finite: {}", value));
    largest = std::max(largest, std::fabs(value));
  }
  return UpperBound::proven(largest);
}

Tensor emitted(Backend& backend, const Tensor& numbers) { return with_dtype(backend.download(numbers), DType::f32); }

}  // namespace gsnet
