// An ONNX graph while it is written: nodes with names that follow the layers, constants stored once.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace gsnet::io {

class GraphWriter {
 public:
  explicit GraphWriter(onnx::GraphProto& graph) : graph_(graph) {}

  /// A name that nothing else may get. Throws Error when something has it.
  void reserve(const std::string& name);
  void begin_layer(const std::string& name) { layer_ = name; }
  /// A node of one output, named "<layer>/<op>", "<layer>/<op>_1", …
  onnx::NodeProto& node(const std::string& op, std::span<const std::string> inputs);
  onnx::NodeProto& node(const std::string& op, std::initializer_list<std::string> inputs) {
    return node(op, std::span(inputs.begin(), inputs.size()));
  }

  /// Names of constants. A tensor (host, f32, row-major) is called "<layer>.<role>" and stored under its shape or
  /// another; one that came before, in the same storage and shape, is not stored again. Throws Error when the tensors
  /// exceed 2 GiB.
  std::string tensor(const Tensor& values, const std::string& role, const Shape& shape);
  std::string tensor(const Tensor& values, const std::string& role) { return tensor(values, role, values.shape()); }
  std::string number(double value);
  std::string integers(const std::vector<int64_t>& values);

 private:
  std::string unique(const std::string& wanted);

  onnx::GraphProto& graph_;
  std::string layer_ = "network";
  std::unordered_set<std::string> names_;
  std::vector<Tensor> kept_;  // so that an address stays one tensor's
  std::map<std::pair<const void*, std::string>, std::string> tensors_;
  std::map<float, std::string> numbers_;
  std::map<std::vector<int64_t>, std::string> integers_;
  size_t bytes_ = 0;
};

void set(onnx::NodeProto& node, const std::string& name, int64_t value);
void set(onnx::NodeProto& node, const std::string& name, const std::string& value);
void set(onnx::NodeProto& node, const std::string& name, std::span<const int64_t> values);
inline void set(onnx::NodeProto& node, const std::string& name, std::initializer_list<int64_t> values) {
  set(node, name, std::span(values.begin(), values.size()));
}

}  // namespace gsnet::io
