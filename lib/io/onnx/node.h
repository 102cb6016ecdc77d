// One node of an ONNX graph, its inputs found and its attributes read by kind.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"

namespace gsnet::io {

/// Stands for the batch's extent among the integers of a shape.
constexpr int64_t kBatch = std::numeric_limits<int64_t>::min() + 1;

/// What a name of the graph means: numbers that do not depend on the input, or what a layer of ours makes.
struct OnnxValue {
  Tensor constant = {};    ///< on the host, row-major, f32, f64 or i64 (which may hold kBatch); empty: a layer's output
  std::string layer = {};  ///< "input", or a layer's name
  Shape sample = {};       ///< of one sample of the layer's output
  int uses = 0;            ///< how many inputs of nodes read it, the graph's output too

  bool is_constant() const { return static_cast<bool>(constant); }
};

class OnnxNode {
 public:
  /// `inputs`: null where the node leaves one out.
  OnnxNode(const onnx::NodeProto& proto, int64_t opset, std::vector<const OnnxValue*> inputs)
      : proto_(proto), opset_(opset), inputs_(std::move(inputs)) {}

  const onnx::NodeProto& proto() const { return proto_; }
  const std::string& op() const { return proto_.op_type(); }
  int64_t opset() const { return opset_; }

  size_t input_count() const { return inputs_.size(); }
  /// Null when it is left out.
  const OnnxValue* input(size_t i) const { return i < inputs_.size() ? inputs_[i] : nullptr; }
  /// Throw Error when input i is left out, or is no layer's output, or no constant.
  const OnnxValue& layer(size_t i) const;
  const Tensor& constant(size_t i) const;
  /// Null when it is left out; throws Error when it is no constant.
  const Tensor* constant_if(size_t i) const;

  bool has(std::string_view attribute) const { return find(attribute) != nullptr; }
  /// Throw Error when the attribute is of another kind, and without `missing` when it is not there.
  int64_t integer(std::string_view attribute, int64_t missing) const;
  /// The shortest decimal number that reads as the stored float: 1e-5, not 9.99999975e-06.
  double number(std::string_view attribute, double missing) const;
  std::string text(std::string_view attribute, std::string_view missing) const;
  std::vector<int64_t> integers(std::string_view attribute) const;
  /// Integers of an attribute in older operators, of input i in newer ones; nothing where neither is given.
  bool has_integers(std::string_view attribute, size_t i) const { return has(attribute) || input(i) != nullptr; }
  std::vector<int64_t> integers(std::string_view attribute, size_t i) const;
  const onnx::AttributeProto* find(std::string_view attribute) const;

 private:
  const onnx::AttributeProto& at(std::string_view attribute, onnx::AttributeProto::AttributeType type) const;

  const onnx::NodeProto& proto_;
  int64_t opset_;
  std::vector<const OnnxValue*> inputs_;
};

/// The elements of a constant. Throws Error unless it holds integers.
std::vector<int64_t> integers_of(const Tensor& constant);
/// The same as numbers, of any kind.
std::vector<double> numbers_of(const Tensor& constant);
/// The only element. Throws Error when there are several.
double number_of(const Tensor& constant);

/// i of rank axes, negative ones counted from the end. Throws Error outside.
int64_t axis_of(int64_t axis, int64_t rank);

}  // namespace gsnet::io
