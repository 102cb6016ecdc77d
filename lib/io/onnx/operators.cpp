#include "io/onnx/operators.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace gsnet::io {

namespace {

constexpr int64_t kMostSide = int64_t{1} << 20;

}  // namespace

const Operator* find_operator(const std::string& type) {
  for (const auto& family : {product_operators(), elementwise_operators(), pool_operators(), shape_operators()}) {
    for (const Operator& one : family) {
      if (type == one.type) return &one;
    }
  }
  return nullptr;
}

std::vector<double> channel_numbers(const Tensor& constant, const Shape& sample) {
  const Shape& c = constant.shape();
  const int axes = sample.rank() + 1;
  bool fits = c.rank() <= axes && constant.numel() >= 1;
  for (int i = 0; fits && i < c.rank(); ++i) {
    const int axis = axes - c.rank() + i;
    fits = c[i] == 1 || (axis == 1 && c[i] == sample[0]);
  }
  GSNET_CHECK(fits, fmt::format("a constant of {} does not give a number to each channel of samples {}", to_string(c),
                                to_string(sample)));
  std::vector<double> numbers = numbers_of(constant);
  if (numbers.size() == 1) numbers.assign(static_cast<size_t>(sample[0]), numbers[0]);
  return numbers;
}

Tensor channel_tensor(const std::vector<double>& numbers) {
  return Tensor::of(Shape{static_cast<int64_t>(numbers.size())}, std::span<const double>(numbers));
}

std::array<int64_t, 2> pair_of(const OnnxNode& node, const char* attribute) {
  if (!node.has(attribute)) return {1, 1};
  const std::vector<int64_t> values = node.integers(attribute);
  GSNET_CHECK(values.size() == 2, fmt::format("{} has {} numbers, expected 2", attribute, values.size()));
  for (const int64_t value : values) {
    GSNET_CHECK(value >= 1 && value <= kMostSide,
                fmt::format("{} is {}, expected 1 … {}", attribute, value, kMostSide));
  }
  return {values[0], values[1]};
}

AttributeValue compact(std::array<int64_t, 2> pair) {
  if (pair[0] == pair[1]) return pair[0];
  return std::vector<int64_t>(pair.begin(), pair.end());
}

AttributeValue compact(std::array<int64_t, 4> sides) {
  if (std::ranges::count(sides, sides[0]) == 4) return sides[0];
  if (sides[0] == sides[2] && sides[1] == sides[3]) return std::vector<int64_t>{sides[0], sides[1]};
  return std::vector<int64_t>(sides.begin(), sides.end());
}

const Shape& map_of(const OnnxValue& value) {
  GSNET_CHECK(value.sample.rank() == 3, fmt::format("samples of {} are no maps (C, H, W)", to_string(value.sample)));
  return value.sample;
}

std::array<int64_t, 4> padding_of(const OnnxNode& node, const Shape& sample, std::array<int64_t, 2> kernel,
                                  std::array<int64_t, 2> stride, std::array<int64_t, 2> dilation) {
  const std::string rule = node.text("auto_pad", "NOTSET");
  std::array<int64_t, 4> sides = {0, 0, 0, 0};
  if (rule == "VALID") return sides;
  if (rule == "SAME_UPPER" || rule == "SAME_LOWER") {
    for (size_t i = 0; i < 2; ++i) {
      const int64_t extent = sample[static_cast<int>(i) + 1], outputs = (extent + stride[i] - 1) / stride[i];
      const int64_t all = std::max<int64_t>(0, (outputs - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1 - extent);
      const int64_t less = all / 2, more = all - less;
      sides[i] = rule == "SAME_UPPER" ? less : more;
      sides[i + 2] = rule == "SAME_UPPER" ? more : less;
    }
    return sides;
  }
  GSNET_CHECK(rule == "NOTSET" || rule.empty(), fmt::format("auto_pad '{}' is unknown", rule));
  if (!node.has("pads")) return sides;
  const std::vector<int64_t> pads = node.integers("pads");
  GSNET_CHECK(pads.size() == 4, fmt::format("pads has {} numbers, expected 4", pads.size()));
  for (size_t i = 0; i < 4; ++i) {
    GSNET_CHECK(pads[i] >= 0 && pads[i] <= kMostSide, fmt::format("pads has {}, expected 0 … {}", pads[i], kMostSide));
    sides[i] = pads[i];
  }
  return sides;
}

}  // namespace gsnet::io
