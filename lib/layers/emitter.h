// Emitter: a network said in plain operators, as evaluation computes it. Exporters listen; modules speak
// (Module::emit).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "backend/channels.h"
#include "backend/conv.h"
#include "backend/eltwise.h"
#include "backend/pool.h"
#include "core/tensor.h"

namespace gsnet {

/// Tensors that are handed over lie on the host in f32, row-major; one that is handed over twice may be stored once. A
/// value has the batch as its first axis.
class Emitter {
 public:
  /// Names what an operator made.
  using Value = int;

  virtual ~Emitter() = default;

  /// What follows belongs to the layer of this path name; a graph calls it before each.
  virtual void begin_layer(const std::string& name) { (void)name; }

  /// `bias` (Co) may be null.
  virtual Value conv2d(Value x, const Tensor& w, const Tensor* bias, const ConvSpec& spec) = 0;
  /// x w' + bias, w (O, I).
  virtual Value linear(Value x, const Tensor& w, const Tensor* bias) = 0;
  /// scale[c] x + shift[c]; either may be null.
  virtual Value scale_shift(Value x, const Tensor* scale, const Tensor* shift) = 0;
  virtual Value map_channels(Value x, const ChannelMap& map) = 0;
  virtual Value space_to_depth(Value x, int64_t block) = 0;
  virtual Value depth_to_space(Value x, int64_t block) = 0;
  virtual Value flatten(Value x) = 0;
  /// Of one sample: the batch axis stays in front.
  virtual Value reshape(Value x, const Shape& shape) = 0;
  virtual Value permute(Value x, std::span<const int64_t> axes) = 0;
  virtual Value pad(Value x, const std::array<int64_t, 4>& sides, double value) = 0;
  virtual Value pool(Value x, const PoolSpec& spec, bool global) = 0;
  virtual Value maxmin(Value x, const MaxMinSpec& spec) = 0;
  virtual Value group_sort(Value x, int64_t size) = 0;
  virtual Value householder(Value x, const Tensor& theta, Pairing pairing) = 0;
  virtual Value unary(UnaryOp op, Value x) = 0;
  virtual Value clip(Value x, double low, double high) = 0;
  virtual Value prelu(Value x, const Tensor& slope) = 0;
  virtual Value softmax(Value x) = 0;
  /// Shapes are equal, or b is (N, C, 1, 1) beside a's (N, C, H, W).
  virtual Value binary(BinaryOp op, Value a, Value b) = 0;
  /// Along the channels.
  virtual Value concat(std::span<const Value> x) = 0;
  /// alpha x + beta z.
  virtual Value axpby(double alpha, Value x, double beta, Value z) = 0;
};

}  // namespace gsnet
