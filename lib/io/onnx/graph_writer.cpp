#include "io/onnx/graph_writer.h"

#include <fmt/format.h>

#include "core/error.h"

namespace gsnet::io {
namespace {

constexpr size_t kMostBytes = (size_t{1} << 31) - (size_t{1} << 24);  // protobuf's 2 GiB, less room for the nodes

onnx::AttributeProto& added(onnx::NodeProto& node, const std::string& name, onnx::AttributeProto::AttributeType type) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(type);
  return attribute;
}

}  // namespace

std::string GraphWriter::unique(const std::string& wanted) {
  std::string name = wanted;
  for (int i = 1; !names_.insert(name).second; ++i) name = fmt::format("{}_{}", wanted, i);
  return name;
}

void GraphWriter::reserve(const std::string& name) {
  GSNET_CHECK(!name.empty(), "a name of an input or output must not be empty");
  GSNET_CHECK(names_.insert(name).second, fmt::format("input and output cannot both be named '{}'", name));
}

onnx::NodeProto& GraphWriter::node(const std::string& op, std::span<const std::string> inputs) {
  onnx::NodeProto& made = *graph_.add_node();
  made.set_op_type(op);
  made.set_name(unique(fmt::format("{}/{}", layer_, op)));
  for (const std::string& input : inputs) made.add_input(input);
  made.add_output(unique(made.name() + "_output"));
  return made;
}

std::string GraphWriter::tensor(const Tensor& values, const std::string& role, const Shape& shape) {
  const std::pair<const void*, std::string> key(values.raw(), to_string(shape));
  if (const auto found = tensors_.find(key); found != tensors_.end()) return found->second;
  GSNET_CHECK(values.dtype() == DType::f32 && shape.numel() == values.numel(),
              fmt::format("a tensor of {} {} cannot be stored as f32 {}", to_string(values.dtype()),
                          to_string(values.shape()), to_string(shape)));
  bytes_ += values.bytes();
  GSNET_CHECK(bytes_ <= kMostBytes, "the tensors take more than the 2 GiB that an ONNX file may have");
  onnx::TensorProto& made = *graph_.add_initializer();
  made.set_name(unique(fmt::format("{}.{}", layer_, role)));
  made.set_data_type(onnx::TensorProto::FLOAT);
  for (const int64_t extent : shape.extents()) made.add_dims(extent);
  made.set_raw_data(values.raw(), values.bytes());
  kept_.push_back(values);
  return tensors_.emplace(key, made.name()).first->second;
}

std::string GraphWriter::number(double value) {
  const auto single = static_cast<float>(value);
  if (const auto found = numbers_.find(single); found != numbers_.end()) return found->second;
  onnx::TensorProto& made = *graph_.add_initializer();
  made.set_name(unique(fmt::format("number_{}", single)));
  made.set_data_type(onnx::TensorProto::FLOAT);
  made.set_raw_data(&single, sizeof single);
  return numbers_.emplace(single, made.name()).first->second;
}

std::string GraphWriter::integers(const std::vector<int64_t>& values) {
  if (const auto found = integers_.find(values); found != integers_.end()) return found->second;
  onnx::TensorProto& made = *graph_.add_initializer();
  made.set_name(unique("integers"));
  made.set_data_type(onnx::TensorProto::INT64);
  made.add_dims(static_cast<int64_t>(values.size()));
  made.set_raw_data(values.data(), values.size() * sizeof(int64_t));
  return integers_.emplace(values, made.name()).first->second;
}

void set(onnx::NodeProto& node, const std::string& name, int64_t value) {
  added(node, name, onnx::AttributeProto::INT).set_i(value);
}

void set(onnx::NodeProto& node, const std::string& name, const std::string& value) {
  added(node, name, onnx::AttributeProto::STRING).set_s(value);
}

void set(onnx::NodeProto& node, const std::string& name, std::span<const int64_t> values) {
  onnx::AttributeProto& attribute = added(node, name, onnx::AttributeProto::INTS);
  for (const int64_t value : values) attribute.add_ints(value);
}

}  // namespace gsnet::io
