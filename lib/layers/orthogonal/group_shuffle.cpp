#include "layers/orthogonal/group_shuffle.h"

#include <fmt/format.h>

#include "core/error.h"

namespace gsnet {

GroupShuffleConv::GroupShuffleConv(const Attributes& attributes, const BuildContext& context) {
  Attributes first;
  for (const auto& [key, value] : attributes.entries()) {
    if (key != "groups2" && key != "variant" && key != "shuffle2") first.set(key, value);
  }
  const int64_t groups = attributes.integer("groups", 1), groups2 = attributes.integer("groups2", 0);
  GSNET_CHECK(groups2 >= 0, fmt::format("groups2 must be at least 0, got {}", groups2));
  const bool lpr = attributes.find("variant") != nullptr && attributes.choice("variant", {"gs", "lpr"}) == 1;
  if (attributes.find("shuffle") == nullptr) first.set("shuffle", lpr ? int64_t{1} : groups);
  const SkewConvSpec spatial = SkewConvSpec::from(first);
  spatial_ = std::make_unique<SkewConv>(spatial, BuildContext{context.backend, context.key.with(0), context.inputs});
  if (groups2 == 0) return;
  Attributes second = first;
  second.set("kernel", int64_t{1});
  second.set("stride", int64_t{1});
  second.set("groups", groups2);
  second.set("shuffle", attributes.flag("shuffle2", true) ? groups2 : int64_t{1});
  Attributes mixing;  // the norm aimed at is that of a 1 x 1 kernel
  for (const auto& [key, value] : second.entries()) {
    if (key != "norm") mixing.set(key, value);
  }
  const Shape between = spatial_->output_shape(context.inputs.at(0));
  mixing_ = std::make_unique<SkewConv>(SkewConvSpec::from(mixing),
                                       BuildContext{context.backend, context.key.with(1), {between}});
}

Var GroupShuffleConv::forward(Tape& tape, const Var& x) {
  return mixing_ ? spatial_->forward_then(tape, x, *mixing_) : spatial_->forward(tape, x);
}

Cost GroupShuffleConv::cost(const Shape& x) const {
  Cost cost = spatial_->cost(x);
  if (mixing_) {
    const Cost more = mixing_->cost(spatial_->output_shape(x));
    cost.training_macs = cost.training_macs.value_or(cost.macs) + more.training_macs.value_or(more.macs);
    cost.macs += more.macs;
    cost.parameters += more.parameters;
  }
  return cost;
}

LayerBound GroupShuffleConv::lipschitz(const Shape& x) const {
  LayerBound bound = spatial_->lipschitz(x);
  if (mixing_) {
    const LayerBound more = mixing_->lipschitz(spatial_->output_shape(x));
    bound.value = bound.value * more.value;
    bound.method += "; " + more.method;
  }
  return bound;
}

RoundingBound GroupShuffleConv::rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const {
  const RoundingBound first = spatial_->rounding(x, arithmetic);
  if (!mixing_) return first;
  const std::vector<Shape> between = {spatial_->output_shape(x[0])};
  return chained(first, spatial_->lipschitz(x[0]).value, spatial_->offset(x[0]), mixing_->rounding(between, arithmetic),
                 mixing_->lipschitz(between[0]).value);
}

Emitter::Value GroupShuffleConv::emit(Emitter& emitter, std::span<const Emitter::Value> x,
                                      std::span<const Shape> shapes) const {
  const Emitter::Value y = spatial_->emit(emitter, x, shapes);
  const Shape between = spatial_->output_shape(shapes[0]);
  return mixing_ ? mixing_->emit(emitter, {&y, 1}, {&between, 1}) : y;
}

void GroupShuffleConv::visit(const std::string& path, Visitor& visitor) {
  spatial_->visit(path + ".conv1", visitor);
  if (mixing_) mixing_->visit(path + ".conv2", visitor);
}

}  // namespace gsnet
