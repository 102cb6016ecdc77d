#include "layers/norm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops.h"
#include "core/error.h"
#include "layers/emit.h"

namespace gsnet {
namespace {

Tensor filled(Backend& backend, int64_t channels, double value) {
  Tensor made = backend.empty({channels});
  backend.fill(value, made);
  return made;
}

}  // namespace

BatchNorm::BatchNorm(const Attributes& attributes, const BuildContext& context)
    : backend_(context.backend),
      momentum_(attributes.number("momentum", 0.1)),
      affine_(attributes.flag("affine", true)),
      batch_(attributes.find("statistics") != nullptr && attributes.choice("statistics", {"frozen", "batch"}) == 1) {
  attributes.allow_only({"epsilon", "affine", "statistics", "momentum"});
  const double epsilon = attributes.number("epsilon", 1e-5);
  GSNET_CHECK(epsilon > 0 && epsilon <= 1, fmt::format("epsilon must be above 0 and at most 1, got {}", epsilon));
  GSNET_CHECK(momentum_ >= 0 && momentum_ <= 1, fmt::format("momentum must be 0 … 1, got {}", momentum_));
  const int64_t channels = output_shape(context.inputs.at(0))[0];
  gamma_.value = filled(backend_, channels, 1);
  beta_.value = filled(backend_, channels, 0);
  gamma_.decay = beta_.decay = false;
  mean_ = filled(backend_, channels, 0);
  variance_ = filled(backend_, channels, 1);
  epsilon_ = filled(backend_, channels, epsilon);
}

ChannelAffine BatchNorm::affine(Tape& tape, const Var& mean, const Var& variance) const {
  const Var rstd = ops::unary(UnaryOp::reciprocal, ops::unary(UnaryOp::sqrt, ops::add(variance, tape.input(epsilon_))));
  const Var scale = affine_ ? ops::binary(BinaryOp::multiply, tape.use(gamma_), rstd) : rstd;
  const Var moved = ops::scale(ops::binary(BinaryOp::multiply, mean, scale), -1);
  return {scale, affine_ ? ops::add(tape.use(beta_), moved) : moved};
}

ChannelAffine BatchNorm::evaluation_form(Tape& tape) const {
  return affine(tape, tape.input(mean_), tape.input(variance_));
}

Var BatchNorm::forward(Tape& tape, const Var& x) {
  if (batch_ && tape.mode().training) return batch_forward(tape, x);
  const ChannelAffine form = evaluation_form(tape);
  return ops::scale_shift(x, form.scale, form.shift);
}

Var BatchNorm::batch_forward(Tape& tape, const Var& x) {
  const int64_t of_a_channel = x.value.numel() / x.shape()[1];
  const auto count = static_cast<double>(of_a_channel);
  GSNET_CHECK(count > 1, fmt::format("[batch_norm] {} has one number a channel: no variance", to_string(x.shape())));
  const Var mean = ops::scale(ops::sum_to_channels(x), 1 / count);
  const Var centred = ops::add_bias(x, ops::scale(mean, -1));
  const Var variance = ops::scale(ops::sum_to_channels(ops::unary(UnaryOp::square, centred)), 1 / count);
  if (!tape.mode().again) {
    backend_.axpby(1 - momentum_, mean_, momentum_, mean.value, mean_);
    backend_.axpby(1 - momentum_, variance_, momentum_ * count / (count - 1), variance.value, variance_);
  }
  const ChannelAffine form = affine(tape, tape.input(filled(backend_, x.shape()[1], 0)), variance);
  return ops::scale_shift(centred, form.scale, form.shift);
}

EpilogueStep BatchNorm::epilogue_step(const TapeMode& mode) const {
  if (batch_ && mode.training) return {};
  return {.kind = EpilogueStep::Kind::affine};
}

Shape BatchNorm::output_shape(const Shape& x) const {
  GSNET_CHECK(x.rank() == 3 || x.rank() == 1, fmt::format("needs (C, H, W) or (C), got {}", to_string(x)));
  return x;
}

Cost BatchNorm::cost(const Shape& x) const { return {static_cast<double>(x.numel()), affine_ ? 2 * x[0] : 0}; }

LayerBound BatchNorm::lipschitz(const Shape&) const {
  Tape tape(backend_, {});
  double largest = 0;
  const Tensor scale = with_dtype(backend_.download(evaluation_form(tape).scale.value), DType::f64);
  for (const double value : scale.host<double>()) {
    GSNET_CHECK(std::isfinite(value), "[batch_norm] a running variance or a gamma gives a scale that is not finite");
    largest = std::max(largest, std::fabs(value));
  }
  return {UpperBound::proven(outward(largest)), "scale"};  // the very numbers that multiply x
}

RoundingBound BatchNorm::rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const {
  Tape tape(backend_, {});
  const int64_t pixels = x[0].numel() / x[0][0];
  const UpperBound shift = bias_norm(backend_.download(evaluation_form(tape).shift.value), pixels);
  return product_rounding(arithmetic, 1, lipschitz(x[0]).value, shift);
}

Emitter::Value BatchNorm::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  Tape tape(backend_, {});
  const ChannelAffine form = evaluation_form(tape);
  const Tensor scale = emitted(backend_, form.scale.value), shift = emitted(backend_, form.shift.value);
  return emitter.scale_shift(x[0], &scale, &shift);
}

void BatchNorm::visit(const std::string& path, Visitor& visitor) {
  if (affine_) {
    visitor.parameter(path + ".weight", gamma_);
    visitor.parameter(path + ".bias", beta_);
  }
  visitor.buffer(path + ".running_mean", mean_);
  visitor.buffer(path + ".running_var", variance_);
}

}  // namespace gsnet
