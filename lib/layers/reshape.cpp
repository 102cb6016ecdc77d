#include "layers/reshape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops.h"
#include "core/error.h"
#include "layers/settings.h"

namespace gsnet {

Pad::Pad(const Attributes& attributes) : sides_(padding_setting(attributes)), value_(attributes.number("value", 0)) {
  attributes.allow_only({"padding", "value"});
  constexpr int64_t kMost = 65'536;
  GSNET_CHECK(std::ranges::all_of(sides_, [](int64_t side) { return side >= 0 && side <= kMost; }),
              fmt::format("padding must be 0 … {}, got {}", kMost, fmt::join(sides_, ", ")));
  GSNET_CHECK(std::isfinite(value_), fmt::format("value must be finite, got {}", value_));
}

Var Pad::forward(Tape&, const Var& x) { return ops::pad(x, sides_, value_); }

Shape Pad::output_shape(const Shape& x) const {
  GSNET_CHECK(x.rank() == 3, fmt::format("needs an input (C, H, W), got {}", to_string(x)));
  return {x[0], sides_[0] + x[1] + sides_[2], sides_[1] + x[2] + sides_[3]};
}

Emitter::Value Pad::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.pad(x[0], sides_, value_);
}

Reshape::Reshape(const Attributes& attributes) {
  attributes.allow_only({"shape"});
  const std::vector<int64_t> extents = attributes.integers("shape");
  GSNET_CHECK(!extents.empty() && extents.size() <= 3 && std::ranges::all_of(extents, [](int64_t e) { return e >= 1; }),
              fmt::format("shape must be one to three positive integers, got {}", fmt::join(extents, ", ")));
  shape_ = Shape(extents);
}

Var Reshape::forward(Tape&, const Var& x) { return ops::reshape_samples(x, shape_); }

Shape Reshape::output_shape(const Shape& x) const {
  GSNET_CHECK(x.numel() == shape_.numel(),
              fmt::format("{} has {} elements, {} has {}", to_string(x), x.numel(), to_string(shape_), shape_.numel()));
  return shape_;
}

Emitter::Value Reshape::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.reshape(x[0], shape_);
}

Permute::Permute(const Attributes& attributes) : axes_(attributes.integers("axes")) {
  attributes.allow_only({"axes"});
  std::vector<int64_t> sorted = axes_;
  std::ranges::sort(sorted);
  bool all = !axes_.empty() && axes_.size() <= 3;
  for (size_t i = 0; i < sorted.size(); ++i) all = all && sorted[i] == static_cast<int64_t>(i);
  GSNET_CHECK(all, fmt::format("axes must be a permutation of 0 … 2 or fewer, got {}", fmt::join(axes_, ", ")));
}

Var Permute::forward(Tape&, const Var& x) { return ops::permute(x, axes_); }

Shape Permute::output_shape(const Shape& x) const {
  GSNET_CHECK(static_cast<size_t>(x.rank()) == axes_.size(),
              fmt::format("orders {} axes, got {}", axes_.size(), to_string(x)));
  Shape y = x;
  for (size_t i = 0; i < axes_.size(); ++i) y = y.with(static_cast<int>(i), x[static_cast<int>(axes_[i])]);
  return y;
}

Emitter::Value Permute::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.permute(x[0], axes_);
}

}  // namespace gsnet
