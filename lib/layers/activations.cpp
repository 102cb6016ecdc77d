#include "layers/activations.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/ops.h"
#include "core/error.h"
#include "layers/channel_numbers.h"

namespace gsnet {

Clip::Clip(const Attributes& attributes)
    : low_(attributes.number("min", -std::numeric_limits<double>::infinity())),
      high_(attributes.number("max", std::numeric_limits<double>::infinity())) {
  attributes.allow_only({"min", "max"});
  GSNET_CHECK(low_ <= high_, fmt::format("min must be at most max, got {} and {}", low_, high_));
}

Var Clip::forward(Tape&, const Var& x) { return ops::clip(x, low_, high_); }

Emitter::Value Clip::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.clip(x[0], low_, high_);
}

namespace {

/// The shape itself, checked.
const Shape& features(const Shape& x) {
  channels_of(x);
  return x;
}

LayerBound slope_bound(Backend& backend, const Tensor& slope) {
  return {largest_number(backend, slope).max(UpperBound::proven(1)), "slope"};
}

}  // namespace

Prelu::Prelu(const Attributes& attributes, const BuildContext& context) : backend_(context.backend) {
  attributes.allow_only({});
  slope_.value = filled(backend_, channels_of(context.inputs.at(0)), 0.25);
  slope_.decay = false;
}

Var Prelu::forward(Tape& tape, const Var& x) { return ops::prelu(x, tape.use(slope_)); }

Shape Prelu::output_shape(const Shape& x) const {
  const int64_t wanted = slope_.value.shape()[0];
  GSNET_CHECK(channels_of(x) == wanted, fmt::format("has slopes of {} channels, got {}", wanted, to_string(x)));
  return x;
}

Cost Prelu::cost(const Shape& x) const { return {static_cast<double>(x.numel()), slope_.value.numel()}; }

LayerBound Prelu::lipschitz(const Shape&) const { return slope_bound(backend_, slope_.value); }

RoundingBound Prelu::rounding(std::span<const Shape>, const Arithmetic& arithmetic) const {
  return product_rounding(arithmetic, 1, largest_number(backend_, slope_.value), UpperBound::proven(0));
}

Emitter::Value Prelu::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.prelu(x[0], emitted(backend_, slope_.value));
}

void Prelu::visit(const std::string& path, Visitor& visitor) { visitor.parameter(path + ".weight", slope_); }

LeakyRelu::LeakyRelu(const Attributes& attributes, const BuildContext& context)
    : backend_(context.backend),
      slope_(filled(backend_, channels_of(context.inputs.at(0)), attributes.number("slope", 0.01))) {
  attributes.allow_only({"slope"});
}

Var LeakyRelu::forward(Tape& tape, const Var& x) { return ops::prelu(x, tape.input(slope_)); }

Shape LeakyRelu::output_shape(const Shape& x) const { return features(x); }

Cost LeakyRelu::cost(const Shape& x) const { return {static_cast<double>(x.numel()), 0}; }

LayerBound LeakyRelu::lipschitz(const Shape&) const { return slope_bound(backend_, slope_); }

RoundingBound LeakyRelu::rounding(std::span<const Shape>, const Arithmetic& arithmetic) const {
  return product_rounding(arithmetic, 1, largest_number(backend_, slope_), UpperBound::proven(0));
}

Emitter::Value LeakyRelu::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.prelu(x[0], emitted(backend_, slope_));
}

Var Squash::forward(Tape&, const Var& x) { return ops::unary(op_, x); }

LayerBound Squash::lipschitz(const Shape&) const {
  return {UpperBound::proven(op_ == UnaryOp::sigmoid ? 0.25 : 1), "slope"};
}

Emitter::Value Squash::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.unary(op_, x[0]);
}

Var Silu::forward(Tape&, const Var& x) { return ops::binary(BinaryOp::multiply, x, ops::unary(UnaryOp::sigmoid, x)); }

// With s the sigmoid, f' = s (1 + x (1 - s)) and f'' = s (1 - s) (2 - x tanh(x / 2)): f' is largest at the one x > 0
// with x tanh(x / 2) = 2. There 2 s - 1 = 2 / x, so that f' = 1/2 + x / 4. As 2.3996 tanh(1.1998) > 2, that x is below
// 2.3996 and f' below 1.0999. Since f'(-x) = 1 - f'(x), f' is above -0.0999.
LayerBound Silu::lipschitz(const Shape&) const { return {UpperBound::proven(1.0999), "slope"}; }

Emitter::Value Silu::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.binary(BinaryOp::multiply, x[0], emitter.unary(UnaryOp::sigmoid, x[0]));
}

HardSigmoid::HardSigmoid(const Attributes& attributes, const BuildContext& context, bool swish)
    : backend_(context.backend), swish_(swish), alpha_(1.0 / 6) {
  double beta = 0.5;
  if (swish) {
    attributes.allow_only({});
  } else {
    attributes.allow_only({"alpha", "beta"});
    alpha_ = attributes.number("alpha", alpha_);
    beta = attributes.number("beta", beta);
  }
  const int64_t channels = channels_of(context.inputs.at(0));
  scale_ = filled(backend_, channels, alpha_);
  shift_ = filled(backend_, channels, beta);
}

Var HardSigmoid::forward(Tape& tape, const Var& x) {
  const Var gate = ops::clip(ops::scale_shift(x, tape.input(scale_), tape.input(shift_)), 0, 1);
  return swish_ ? ops::binary(BinaryOp::multiply, x, gate) : gate;
}

Shape HardSigmoid::output_shape(const Shape& x) const { return features(x); }

Cost HardSigmoid::cost(const Shape& x) const { return {(swish_ ? 2.0 : 1.0) * static_cast<double>(x.numel()), 0}; }

// x h(x) has slope x / 3 + 1/2 from -3 to 3, where it is at most 3/2; 0 and 1 outside.
LayerBound HardSigmoid::lipschitz(const Shape&) const {
  if (swish_) return {UpperBound::proven(outward(1.5, 1e-6)), "slope"};  // alpha is 1/6 rounded
  return {largest_number(backend_, scale_), "slope"};
}

Emitter::Value HardSigmoid::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  const Tensor scale = emitted(backend_, scale_), shift = emitted(backend_, shift_);
  const Emitter::Value gate = emitter.clip(emitter.scale_shift(x[0], &scale, &shift), 0, 1);
  return swish_ ? emitter.binary(BinaryOp::multiply, x[0], gate) : gate;
}

Var Softmax::forward(Tape&, const Var& x) { return ops::softmax(x); }

Shape Softmax::output_shape(const Shape& x) const { return features(x); }

// The Jacobian diag(p) - p p' is symmetric; its rows have absolute sums 2 p (1 - p) <= 1/2.
LayerBound Softmax::lipschitz(const Shape&) const { return {UpperBound::proven(0.5), "row sums"}; }

Emitter::Value Softmax::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.softmax(x[0]);
}

}  // namespace gsnet
