// Layers on flat features: linear, orthogonal, and with rows of unit length.
#pragma once

#include <memory>

#include "layers/orthogonal/skew_conv.h"

namespace gsnet {

/// y = W x + b, (C) to (features). `unit_rows`: rows of W divided by their length, the last-layer normalisation of
/// Singla et al. (ICLR 2022), for whose certificates matrix() is read.
class Linear final : public UnaryModule {
 public:
  /// Settings: features, bias (true), unit_rows (false).
  Linear(const Attributes& attributes, const BuildContext& context);

  using UnaryModule::cost;
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  Cost cost(const Shape& x) const override;
  LayerBound lipschitz(const Shape& x) const override;
  RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;
  std::optional<Tensor> matrix() const override;
  std::optional<WeightSite> weight_site() override { return WeightSite{&weight_, 1}; }
  void visit(const std::string& path, Visitor& visitor) override;

 private:
  Backend& backend_;
  mutable Weight weight_;
  Parameter bias_;
  bool has_bias_;
};

/// y = the first `features` rows of exp(skew matrix) x + b: orthonormal rows. The reference code's last layer.
class OrthogonalLinear final : public UnaryModule {
 public:
  /// Settings: features, and SkewConv's scale, norm, series and bias.
  OrthogonalLinear(const Attributes& attributes, const BuildContext& context);

  using UnaryModule::cost;
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  Cost cost(const Shape& x) const override;
  LayerBound lipschitz(const Shape& x) const override;
  RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;
  void visit(const std::string& path, Visitor& visitor) override;

 private:
  std::unique_ptr<SkewConv> conv_;
};

}  // namespace gsnet
