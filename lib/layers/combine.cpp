#include "layers/combine.h"

#include <fmt/format.h>

#include <cmath>

#include "autograd/ops.h"
#include "core/error.h"
#include "layers/channel_numbers.h"

namespace gsnet {

Var Concat::forward(Tape&, std::span<const Var> x) { return ops::concat(x); }

Shape Concat::output_shape(std::span<const Shape> x) const {
  int64_t channels = 0;
  for (const Shape& shape : x) {
    GSNET_CHECK(
        (shape.rank() == 1 || shape.rank() == 3) && shape.rank() == x[0].rank() && shape.with(0, 1) == x[0].with(0, 1),
        fmt::format("cannot join {} and {} along the channels", to_string(x[0]), to_string(shape)));
    channels += shape[0];
  }
  return x[0].with(0, channels);
}

LayerBound Concat::bound(std::span<const UpperBound> in, std::span<const Shape>) const {
  if (in.size() == 1) return {in[0], "one input"};
  UpperBound squares = in[0] * in[0];
  for (const UpperBound& more : in.subspan(1)) squares = squares + more * more;
  return {UpperBound::proven(outward(std::sqrt(squares.value()), 1e-15)), "root of squares"};
}

Emitter::Value Concat::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.concat(x);
}

Var Subtract::forward(Tape&, std::span<const Var> x) { return ops::binary(BinaryOp::subtract, x[0], x[1]); }

Shape Subtract::output_shape(std::span<const Shape> x) const {
  GSNET_CHECK(x[0] == x[1], fmt::format("cannot subtract {} from {}", to_string(x[1]), to_string(x[0])));
  return x[0];
}

LayerBound Subtract::bound(std::span<const UpperBound> in, std::span<const Shape>) const {
  return {in[0] + in[1], "sum"};
}

RoundingBound Subtract::rounding(std::span<const Shape>, const Arithmetic& arithmetic) const {
  return {rounding_factor(arithmetic, 1)};
}

Emitter::Value Subtract::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.binary(BinaryOp::subtract, x[0], x[1]);
}

Var Multiply::forward(Tape&, std::span<const Var> x) {
  if (x[0].shape() == x[1].shape()) return ops::binary(BinaryOp::multiply, x[0], x[1]);
  return ops::scale_maps(x[0], x[1]);
}

Shape Multiply::output_shape(std::span<const Shape> x) const {
  const bool channels = x[0].rank() == 3 && x[1] == Shape({x[0][0], 1, 1});
  GSNET_CHECK(channels || x[0] == x[1],
              fmt::format("cannot multiply {} by {}: shapes must be equal, or the second (C, 1, 1)", to_string(x[0]),
                          to_string(x[1])));
  return x[0];
}

Cost Multiply::cost(std::span<const Shape> x) const { return {static_cast<double>(x[0].numel()), 0}; }

LayerBound Multiply::bound(std::span<const UpperBound>, std::span<const Shape>) const {
  throw Error("none is known for a product of two inputs");
}

Emitter::Value Multiply::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.binary(BinaryOp::multiply, x[0], x[1]);
}

ScaleShift::ScaleShift(const Attributes& attributes, const BuildContext& context) : backend_(context.backend) {
  attributes.allow_only({});
  const int64_t channels = channels_of(context.inputs.at(0));
  scale_.value = filled(backend_, channels, 1);
  shift_.value = filled(backend_, channels, 0);
  scale_.decay = shift_.decay = false;
}

Var ScaleShift::forward(Tape& tape, const Var& x) { return ops::scale_shift(x, tape.use(scale_), tape.use(shift_)); }

Shape ScaleShift::output_shape(const Shape& x) const {
  const int64_t wanted = scale_.value.shape()[0];
  GSNET_CHECK(channels_of(x) == wanted, fmt::format("has numbers of {} channels, got {}", wanted, to_string(x)));
  return x;
}

Cost ScaleShift::cost(const Shape& x) const { return {static_cast<double>(x.numel()), 2 * x[0]}; }

LayerBound ScaleShift::lipschitz(const Shape&) const { return {largest_number(backend_, scale_.value), "scale"}; }

RoundingBound ScaleShift::rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const {
  const UpperBound shift = bias_norm(backend_.download(shift_.value), x[0].numel() / x[0][0]);
  return product_rounding(arithmetic, 1, largest_number(backend_, scale_.value), shift);
}

Emitter::Value ScaleShift::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  const Tensor scale = emitted(backend_, scale_.value), shift = emitted(backend_, shift_.value);
  return emitter.scale_shift(x[0], &scale, &shift);
}

void ScaleShift::visit(const std::string& path, Visitor& visitor) {
  visitor.parameter(path + ".weight", scale_);
  visitor.parameter(path + ".bias", shift_);
}

}  // namespace gsnet
