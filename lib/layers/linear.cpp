#include "layers/linear.h"

#include <fmt/format.h>

#include <cmath>

#include "autograd/ops.h"
#include "core/error.h"
#include "layers/bounds.h"
#include "layers/emit.h"

namespace gsnet {
namespace {

class UnitRows final : public Parametrisation {
 public:
  Var apply(Tape&, const Var& w) override { return ops::normalise_rows(w); }
};

int64_t flat_features(const Shape& x) {
  GSNET_CHECK(x.rank() == 1, fmt::format("needs flat features (C), got {}; put a flatten layer before", to_string(x)));
  return x[0];
}

}  // namespace

Linear::Linear(const Attributes& attributes, const BuildContext& context) : backend_(context.backend) {
  attributes.allow_only({"features", "bias", "unit_rows"});
  const int64_t in = flat_features(context.inputs.at(0)), out = attributes.integer("features");
  GSNET_CHECK(out >= 1, fmt::format("features must be at least 1, got {}", out));
  const double range = 1 / std::sqrt(static_cast<double>(in));
  const auto draw = [&](Random& random) { return random.uniform(-range, range); };
  weight_.stored.value = draw_tensor(backend_, context.key.with(0), {out, in}, draw);
  if (attributes.flag("unit_rows", false)) weight_.push(std::make_unique<UnitRows>());
  has_bias_ = attributes.flag("bias", true);
  if (has_bias_) bias_.value = draw_tensor(backend_, context.key.with(1), {out}, draw);
  bias_.decay = false;
}

Var Linear::forward(Tape& tape, const Var& x) {
  const Var y = ops::linear(x, weight_.use(tape));
  return has_bias_ ? ops::add_bias(y, tape.use(bias_)) : y;
}

Shape Linear::output_shape(const Shape& x) const {
  flat_features(x);
  return {weight_.stored.value.shape()[0]};
}

Cost Linear::cost(const Shape&) const {
  const int64_t weights = weight_.stored.value.numel();
  return {static_cast<double>(weights), weights + (has_bias_ ? bias_.value.numel() : 0)};
}

std::optional<Tensor> Linear::matrix() const {
  Tape tape(backend_, {});
  return with_dtype(backend_.download(weight_.use(tape).value), DType::f64);
}

LayerBound Linear::lipschitz(const Shape&) const { return matrix_norm_bound(*matrix()); }

RoundingBound Linear::rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const {
  const UpperBound norm = lipschitz(x[0]).value;
  const UpperBound bias = has_bias_ ? bias_norm(backend_.download(bias_.value), 1) : UpperBound::proven(0);
  return product_rounding(arithmetic, x[0][0], norm, bias);
}

Emitter::Value Linear::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  Tape tape(backend_, {});
  const Tensor w = emitted(backend_, weight_.use(tape).value);
  if (!has_bias_) return emitter.linear(x[0], w, nullptr);
  const Tensor bias = emitted(backend_, bias_.value);
  return emitter.linear(x[0], w, &bias);
}

void Linear::visit(const std::string& path, Visitor& visitor) {
  weight_.visit(path + ".weight", visitor);
  if (has_bias_) visitor.parameter(path + ".bias", bias_);
}

OrthogonalLinear::OrthogonalLinear(const Attributes& attributes, const BuildContext& context) {
  const int64_t in = flat_features(context.inputs.at(0));
  Attributes conv = {{"kernel", int64_t{1}}, {"channels", attributes.integer("features")}};
  for (const auto& [key, value] : attributes.entries()) {
    if (key != "features") conv.set(key, value);
  }
  conv_ =
      std::make_unique<SkewConv>(SkewConvSpec::from(conv), BuildContext{context.backend, context.key, {{in, 1, 1}}});
}

Var OrthogonalLinear::forward(Tape& tape, const Var& x) { return ops::flatten(conv_->forward(tape, ops::as_map(x))); }

Shape OrthogonalLinear::output_shape(const Shape& x) const {
  return {conv_->output_shape(Shape{flat_features(x), 1, 1})[0]};
}

Cost OrthogonalLinear::cost(const Shape& x) const { return conv_->cost(Shape{x[0], 1, 1}); }

LayerBound OrthogonalLinear::lipschitz(const Shape& x) const { return conv_->lipschitz(Shape{x[0], 1, 1}); }

RoundingBound OrthogonalLinear::rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const {
  const std::vector<Shape> map = {{x[0][0], 1, 1}};
  return conv_->rounding(map, arithmetic);
}

Emitter::Value OrthogonalLinear::emit(Emitter& emitter, std::span<const Emitter::Value> x,
                                      std::span<const Shape>) const {
  const Tensor w = conv_->emitted_matrix();
  const std::optional<Tensor> bias = conv_->emitted_bias();
  return emitter.linear(x[0], w, bias ? &*bias : nullptr);
}

void OrthogonalLinear::visit(const std::string& path, Visitor& visitor) { conv_->visit(path, visitor); }

}  // namespace gsnet
