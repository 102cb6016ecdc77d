// Which ONNX operators become which layers.
#pragma once

#include <array>
#include <initializer_list>
#include <span>
#include <vector>

#include "io/onnx/network.h"

namespace gsnet::io {

/// Adds the layers of a node and gives its first output. Throws Error saying why it cannot.
using Convert = OnnxValue (*)(OnnxNetwork& network, const OnnxNode& node);

struct Operator {
  const char* type;
  Convert convert;
  std::initializer_list<const char*> attributes;  ///< any other is refused: nothing is ignored
};

/// Null for an operator that is not supported.
const Operator* find_operator(const std::string& type);

/// The families' own tables (operators_*.cpp).
std::span<const Operator> product_operators();
std::span<const Operator> elementwise_operators();
std::span<const Operator> pool_operators();
std::span<const Operator> shape_operators();

/// Numbers a channel of x (C) or (C, H, W) from a constant that broadcasts so: one number, (C), (C, 1, 1), (1, C, 1,
/// 1). Throws Error for one that varies otherwise.
std::vector<double> channel_numbers(const Tensor& constant, const Shape& sample);
/// The same as an f64 tensor (C).
Tensor channel_tensor(const std::vector<double>& numbers);

/// How many rows of zeros "auto_pad" puts before and after an axis, or where there is none "pads" say.
/// Order: top, left, bottom, right.
std::array<int64_t, 4> padding_of(const OnnxNode& node, const Shape& sample, std::array<int64_t, 2> kernel,
                                  std::array<int64_t, 2> stride, std::array<int64_t, 2> dilation);
/// Two integers of an attribute, 1 and 1 where it is missing. Throws Error unless they are 1 … 2^20.
std::array<int64_t, 2> pair_of(const OnnxNode& node, const char* attribute);
/// One integer where both are alike, else the list.
AttributeValue compact(std::array<int64_t, 2> pair);
AttributeValue compact(std::array<int64_t, 4> sides);

/// (C, H, W), or throws Error.
const Shape& map_of(const OnnxValue& value);

}  // namespace gsnet::io
