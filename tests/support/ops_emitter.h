// An emitter that computes: what a network says in plain operators is run by the ops, to be compared with the network.
#pragma once

#include <vector>

#include "autograd/ops.h"
#include "layers/emitter.h"

namespace gsnet::test {

class OpsEmitter final : public Emitter {
 public:
  explicit OpsEmitter(Backend& backend) : backend_(backend), tape_(backend, {}) {}

  /// Starts from a tensor in the machine's memory.
  Value start(const Tensor& x) { return keep(tape_.input(x)); }
  const Tensor& value(Value v) const { return at(v).value; }

  Value conv2d(Value x, const Tensor& w, const Tensor* bias, const ConvSpec& spec) override {
    if (bias == nullptr) return keep(ops::conv2d(at(x), given(w), nullptr, spec));
    const Var b = given(*bias);
    return keep(ops::conv2d(at(x), given(w), &b, spec));
  }
  Value linear(Value x, const Tensor& w, const Tensor* bias) override {
    const Var y = ops::linear(at(x), given(w));
    return keep(bias != nullptr ? ops::add_bias(y, given(*bias)) : y);
  }
  Value scale_shift(Value x, const Tensor* scale, const Tensor* shift) override {
    const Var y = scale != nullptr ? ops::scale_channels(at(x), given(*scale)) : at(x);
    return keep(shift != nullptr ? ops::add_bias(y, given(*shift)) : y);
  }
  Value map_channels(Value x, const ChannelMap& map) override { return keep(ops::map_channels(at(x), map)); }
  Value space_to_depth(Value x, int64_t block) override { return keep(ops::space_to_depth(at(x), block)); }
  Value depth_to_space(Value x, int64_t block) override { return keep(ops::depth_to_space(at(x), block)); }
  Value flatten(Value x) override { return keep(ops::flatten(at(x))); }
  Value reshape(Value x, const Shape& shape) override { return keep(ops::reshape_samples(at(x), shape)); }
  Value permute(Value x, std::span<const int64_t> axes) override { return keep(ops::permute(at(x), axes)); }
  Value pad(Value x, const std::array<int64_t, 4>& sides, double value) override {
    return keep(ops::pad(at(x), sides, value));
  }
  Value pool(Value x, const PoolSpec& spec, bool global) override {
    PoolSpec whole = spec;
    if (global) whole.kernel = whole.stride = {at(x).shape()[2], at(x).shape()[3]};
    return keep(ops::pool(at(x), whole));
  }
  Value maxmin(Value x, const MaxMinSpec& spec) override { return keep(ops::maxmin(at(x), spec)); }
  Value group_sort(Value x, int64_t size) override { return keep(ops::group_sort(at(x), size)); }
  Value householder(Value x, const Tensor& theta, Pairing pairing) override {
    return keep(ops::householder(at(x), given(theta), pairing));
  }
  Value unary(UnaryOp op, Value x) override { return keep(ops::unary(op, at(x))); }
  Value clip(Value x, double low, double high) override { return keep(ops::clip(at(x), low, high)); }
  Value prelu(Value x, const Tensor& slope) override { return keep(ops::prelu(at(x), given(slope))); }
  Value softmax(Value x) override { return keep(ops::softmax(at(x))); }
  Value binary(BinaryOp op, Value a, Value b) override {
    const bool spread = op == BinaryOp::multiply && at(a).shape() != at(b).shape();
    return keep(spread ? ops::scale_maps(at(a), at(b)) : ops::binary(op, at(a), at(b)));
  }
  Value concat(std::span<const Value> x) override {
    std::vector<Var> parts;
    for (const Value one : x) parts.push_back(at(one));
    return keep(ops::concat(parts));
  }
  Value axpby(double alpha, Value x, double beta, Value z) override {
    return keep(ops::add(ops::scale(at(x), alpha), ops::scale(at(z), beta)));
  }

 private:
  const Var& at(Value v) const { return values_.at(static_cast<size_t>(v)); }
  Var given(const Tensor& host) { return tape_.input(backend_.upload(host)); }
  Value keep(Var made) {
    values_.push_back(std::move(made));
    return static_cast<Value>(values_.size()) - 1;
  }

  Backend& backend_;
  Tape tape_;
  std::vector<Var> values_;
};

}  // namespace gsnet::test
