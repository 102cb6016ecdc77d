#include "io/onnx/node.h"

#include <fmt/format.h>

#include <charconv>

#include "core/error.h"

namespace gsnet::io {

using Attribute = onnx::AttributeProto;

const OnnxValue& OnnxNode::layer(size_t i) const {
  const OnnxValue* value = input(i);
  GSNET_CHECK(value != nullptr, fmt::format("input {} is missing", i));
  GSNET_CHECK(!value->is_constant(), fmt::format("input {} is a constant, expected something computed", i));
  return *value;
}

const Tensor& OnnxNode::constant(size_t i) const {
  const Tensor* value = constant_if(i);
  GSNET_CHECK(value != nullptr, fmt::format("input {} is missing", i));
  return *value;
}

const Tensor* OnnxNode::constant_if(size_t i) const {
  const OnnxValue* value = input(i);
  if (value == nullptr) return nullptr;
  GSNET_CHECK(value->is_constant(), fmt::format("input {} is computed, expected a constant", i));
  return &value->constant;
}

const Attribute* OnnxNode::find(std::string_view attribute) const {
  for (const Attribute& one : proto_.attribute()) {
    if (one.name() == attribute) return &one;
  }
  return nullptr;
}

const Attribute& OnnxNode::at(std::string_view attribute, Attribute::AttributeType type) const {
  const Attribute* found = find(attribute);
  GSNET_CHECK(found != nullptr, fmt::format("attribute '{}' is missing", attribute));
  GSNET_CHECK(found->type() == type,
              fmt::format("attribute '{}' is of kind {}, expected {}", attribute,
                          Attribute::AttributeType_Name(found->type()), Attribute::AttributeType_Name(type)));
  return *found;
}

int64_t OnnxNode::integer(std::string_view attribute, int64_t missing) const {
  return has(attribute) ? at(attribute, Attribute::INT).i() : missing;
}

double OnnxNode::number(std::string_view attribute, double missing) const {
  if (!has(attribute)) return missing;
  const std::string shortest = fmt::format("{}", at(attribute, Attribute::FLOAT).f());
  double value = 0;
  const auto [end, failure] = std::from_chars(shortest.data(), shortest.data() + shortest.size(), value);
  GSNET_CHECK(failure == std::errc(), fmt::format("attribute '{}' is {}", attribute, shortest));
  return value;
}

std::string OnnxNode::text(std::string_view attribute, std::string_view missing) const {
  return has(attribute) ? at(attribute, Attribute::STRING).s() : std::string(missing);
}

std::vector<int64_t> OnnxNode::integers(std::string_view attribute) const {
  const auto& list = at(attribute, Attribute::INTS).ints();
  return {list.begin(), list.end()};
}

std::vector<int64_t> OnnxNode::integers(std::string_view attribute, size_t i) const {
  if (has(attribute)) return integers(attribute);
  return input(i) == nullptr ? std::vector<int64_t>() : integers_of(constant(i));
}

std::vector<int64_t> integers_of(const Tensor& constant) {
  GSNET_CHECK(constant.dtype() == DType::i64, "real numbers where integers are expected");
  const auto values = constant.host<int64_t>();
  return {values.begin(), values.end()};
}

std::vector<double> numbers_of(const Tensor& constant) {
  if (constant.dtype() == DType::i64) {
    const auto values = constant.host<int64_t>();
    return {values.begin(), values.end()};
  }
  const Tensor wide = with_dtype(constant, DType::f64);
  const auto values = wide.host<double>();
  return {values.begin(), values.end()};
}

double number_of(const Tensor& constant) {
  GSNET_CHECK(constant.numel() == 1, fmt::format("one number is expected, got {}", to_string(constant.shape())));
  return numbers_of(constant)[0];
}

int64_t axis_of(int64_t axis, int64_t rank) {
  GSNET_CHECK(axis >= -rank && axis < rank, fmt::format("there is no axis {} among {}", axis, rank));
  return axis < 0 ? axis + rank : axis;
}

}  // namespace gsnet::io
