// A plain convolution.
#pragma once

#include "layers/weight.h"

namespace gsnet {

/// Settings: channels, kernel (an integer or [high, wide]), stride, padding (an integer, [down, right] or [top, left,
/// bottom, right]), dilation, groups, bias (true).
class Conv2d final : public UnaryModule {
 public:
  Conv2d(const Attributes& attributes, const BuildContext& context);

  using UnaryModule::cost;
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override { return forward(tape, x, {}); }
  bool takes_epilogue() const override { return true; }
  Var forward(Tape& tape, const Var& x, const Epilogue& then) override;
  Shape output_shape(const Shape& x) const override;
  Cost cost(const Shape& x) const override;
  LayerBound lipschitz(const Shape& x) const override;
  RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;
  std::optional<WeightSite> weight_site() override { return WeightSite{&weight_, spec_.groups}; }
  void visit(const std::string& path, Visitor& visitor) override;

 private:
  Backend& backend_;
  ConvSpec spec_;
  mutable Weight weight_;
  Parameter bias_;
  bool has_bias_;
};

}  // namespace gsnet
