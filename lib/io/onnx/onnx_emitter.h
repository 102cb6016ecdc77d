// What modules say, as ONNX operators.
#pragma once

#include <string>
#include <vector>

#include "io/onnx/graph_writer.h"
#include "layers/emitter.h"

namespace gsnet::io {

/// Values are known with their shape of one sample; every operator leaves the batch axis open.
class OnnxEmitter final : public Emitter {
 public:
  OnnxEmitter(onnx::GraphProto& graph, int64_t opset) : writer_(graph), opset_(opset) {}

  void reserve(const std::string& name) { writer_.reserve(name); }
  /// A value that is there under a name: the graph's input.
  Value input(const std::string& name, const Shape& sample);
  const std::string& name(Value x) const { return values_[static_cast<size_t>(x)].name; }
  const Shape& shape(Value x) const { return values_[static_cast<size_t>(x)].sample; }

  void begin_layer(const std::string& name) override { writer_.begin_layer(name); }
  Value conv2d(Value x, const Tensor& w, const Tensor* bias, const ConvSpec& spec) override;
  Value linear(Value x, const Tensor& w, const Tensor* bias) override;
  Value scale_shift(Value x, const Tensor* scale, const Tensor* shift) override;
  Value map_channels(Value x, const ChannelMap& map) override;
  Value space_to_depth(Value x, int64_t block) override;
  Value depth_to_space(Value x, int64_t block) override;
  Value flatten(Value x) override;
  Value reshape(Value x, const Shape& shape) override;
  Value permute(Value x, std::span<const int64_t> axes) override;
  Value pad(Value x, const std::array<int64_t, 4>& sides, double value) override;
  Value pool(Value x, const PoolSpec& spec, bool global) override;
  Value maxmin(Value x, const MaxMinSpec& spec) override;
  Value group_sort(Value x, int64_t size) override;
  Value householder(Value x, const Tensor& theta, Pairing pairing) override;
  Value unary(UnaryOp op, Value x) override;
  Value clip(Value x, double low, double high) override;
  Value prelu(Value x, const Tensor& slope) override;
  Value softmax(Value x) override;
  Value binary(BinaryOp op, Value a, Value b) override;
  Value concat(std::span<const Value> x) override;
  Value axpby(double alpha, Value x, double beta, Value z) override;

 private:
  struct Known {
    std::string name;
    Shape sample;
  };

  Value known(const onnx::NodeProto& node, const Shape& sample);
  /// One number a channel, shaped so that it meets the channels of x.
  std::string a_channel(const Tensor& values, const std::string& role, Value x);
  /// Reshape to (N, extents…), which may have more axes than a sample of ours.
  std::string reshaped(const std::string& x, const std::vector<int64_t>& extents);
  std::string transposed(const std::string& x, std::span<const int64_t> axes);
  std::string padded(const std::string& x, const std::vector<int64_t>& sides, double value);
  std::string reduced(const std::string& op, const std::string& x, int64_t axis);
  std::string scaled(Value x, double factor);

  GraphWriter writer_;
  int64_t opset_;
  std::vector<Known> values_;
};

}  // namespace gsnet::io
