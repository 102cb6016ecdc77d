// The network that an import makes of an ONNX graph, node by node.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "io/onnx/node.h"
#include "io/safetensors.h"
#include "layers/description.h"

namespace gsnet::io {

/// A node's or a weight's name as a layer's path: "/layer1/layer1.0/conv1/Conv" is "layer1.0.conv1",
/// "layer1.0.conv1.weight" too. Empty when the name does not look like one.
std::string path_of_node(const std::string& name, const std::string& op);
std::string path_of_weight(const std::string& name);

class OnnxNetwork {
 public:
  /// `batch`: the batch's extent as the file says it, 0 where it is free.
  OnnxNetwork(const Shape& input, int64_t batch) : batch_(batch) { description_.input = input; }

  int64_t batch() const { return batch_; }
  /// Before a node's layers are added: what they will be called.
  void begin_node(const OnnxNode& node, size_t index);

  struct Parts {
    Attributes attributes = {};
    std::vector<std::pair<std::string, Tensor>> tensors = {};  ///< "weight", "bias", …
  };
  /// Adds a layer and gives its output, of a shape that it is expected to have.
  OnnxValue add(const std::string& type, const std::vector<const OnnxValue*>& inputs, const Shape& sample, Parts parts);
  OnnxValue add(const std::string& type, const OnnxValue& input, const Shape& sample) {
    return add(type, {&input}, sample, {});
  }
  /// Gives the layer that made a value, which nothing else reads, a bias, if it is a convolution or a matrix without.
  bool give_bias(const OnnxValue& made, const Tensor& bias);

  /// Only the layers that an output needs, that output's last; their tensors by name.
  std::pair<Description, TensorFile> finish(const OnnxValue& output) const;

 private:
  std::string unique(const std::string& wanted);

  int64_t batch_;
  Description description_;
  std::vector<TensorFile> tensors_;  // of each layer
  std::unordered_map<std::string, size_t> places_;
  std::unordered_set<std::string> names_ = {"input"};
  std::string base_;
  bool first_ = true;
};

}  // namespace gsnet::io
