#include "layers/conv2d.h"

#include <fmt/format.h>

#include <cmath>

#include "autograd/ops.h"
#include "core/error.h"
#include "layers/conv_bounds.h"
#include "layers/emit.h"
#include "layers/orthogonal/skew_weight.h"
#include "layers/settings.h"

namespace gsnet {

Conv2d::Conv2d(const Attributes& attributes, const BuildContext& context) : backend_(context.backend) {
  attributes.allow_only({"channels", "kernel", "stride", "padding", "dilation", "groups", "bias"});
  const Shape& x = context.inputs.at(0);
  GSNET_CHECK(x.rank() == 3, fmt::format("needs an input (C, H, W), got {}", to_string(x)));
  const auto kernel = pair_setting(attributes, "kernel", 3);
  spec_.stride = pair_setting(attributes, "stride", 1);
  spec_.dilation = pair_setting(attributes, "dilation", 1);
  spec_.pad = padding_setting(attributes);
  spec_.groups = attributes.integer("groups", 1);
  const int64_t out = attributes.integer("channels");
  GSNET_CHECK(out >= 1 && spec_.groups >= 1 && x[0] % spec_.groups == 0,
              fmt::format("{} input channels do not divide into {} groups", x[0], spec_.groups));
  const int64_t in = x[0] / spec_.groups;
  const double range = 1 / std::sqrt(static_cast<double>(in * kernel[0] * kernel[1]));
  const auto draw = [&](Random& random) { return random.uniform(-range, range); };
  weight_.stored.value = draw_tensor(backend_, context.key.with(0), {out, in, kernel[0], kernel[1]}, draw);
  has_bias_ = attributes.flag("bias", true);
  if (has_bias_) bias_.value = draw_tensor(backend_, context.key.with(1), {out}, draw);
  bias_.decay = false;
}

// A scale of the output's channels is a scale of the kernel's rows.
Var Conv2d::forward(Tape& tape, const Var& x, const Epilogue& then) {
  Var w = weight_.use(tape), bias;
  if (has_bias_) bias = tape.use(bias_);
  if (then.affine) {
    w = ops::scale_rows(w, then.affine->scale);
    bias = has_bias_ ? ops::add(ops::binary(BinaryOp::multiply, bias, then.affine->scale), then.affine->shift)
                     : then.affine->shift;
  }
  return ops::conv2d(x, w,
                     {.bias = has_bias_ || then.affine ? &bias : nullptr,
                      .addend = then.addend ? &*then.addend : nullptr,
                      .low = then.low,
                      .high = then.high},
                     spec_);
}

Shape Conv2d::output_shape(const Shape& x) const {
  const Shape y = conv2d_shape({1, x[0], x[1], x[2]}, weight_.stored.value.shape(), spec_);
  return {y[1], y[2], y[3]};
}

Cost Conv2d::cost(const Shape& x) const {
  const Shape y = output_shape(x);
  const int64_t weights = weight_.stored.value.numel();
  return {static_cast<double>(y[1] * y[2]) * static_cast<double>(weights), weights + (has_bias_ ? y[0] : 0)};
}

LayerBound Conv2d::lipschitz(const Shape& x) const {
  Tape tape(backend_, {});
  return conv_operator_bound(backend_.download(weight_.use(tape).value), {spec_, x[1], x[2]});
}

RoundingBound Conv2d::rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const {
  Tape tape(backend_, {});
  const Tensor w = backend_.download(weight_.use(tape).value);
  const Shape y = output_shape(x[0]);
  const UpperBound bias = has_bias_ ? bias_norm(backend_.download(bias_.value), y[1] * y[2]) : UpperBound::proven(0);
  return product_rounding(arithmetic, w.numel() / w.shape()[0], conv_partial_norm_bound(w, spec_.groups), bias);
}

Emitter::Value Conv2d::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  Tape tape(backend_, {});
  const Tensor w = emitted(backend_, weight_.use(tape).value);
  if (!has_bias_) return emitter.conv2d(x[0], w, nullptr, spec_);
  const Tensor bias = emitted(backend_, bias_.value);
  return emitter.conv2d(x[0], w, &bias, spec_);
}

void Conv2d::visit(const std::string& path, Visitor& visitor) {
  weight_.visit(path + ".weight", visitor);
  if (has_bias_) visitor.parameter(path + ".bias", bias_);
}

}  // namespace gsnet
