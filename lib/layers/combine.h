// Layers that join several inputs, and one number a channel times and plus.
#pragma once

#include "layers/module.h"

namespace gsnet {

/// Channels of all inputs one after another; inputs (C_i, H, W) or (C_i). Bound: the root of the sum of squares.
class Concat final : public Module {
 public:
  Var forward(Tape& tape, std::span<const Var> x) override;
  Shape output_shape(std::span<const Shape> x) const override;
  Cost cost(std::span<const Shape>) const override { return {}; }
  LayerBound bound(std::span<const UpperBound> in, std::span<const Shape> x) const override;
  /// Exact: numbers are moved only.
  RoundingBound rounding(std::span<const Shape>, const Arithmetic&) const override { return {}; }
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const override;
};

/// First minus second input, of one shape. Bound: the sum of theirs.
class Subtract final : public Module {
 public:
  Var forward(Tape& tape, std::span<const Var> x) override;
  Shape output_shape(std::span<const Shape> x) const override;
  Cost cost(std::span<const Shape>) const override { return {}; }
  LayerBound bound(std::span<const UpperBound> in, std::span<const Shape> x) const override;
  RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const override;
};

/// Product of two inputs of one shape, or of (C, H, W) with one number a channel (C, 1, 1) as second: squeeze and
/// excitation (Hu et al., CVPR 2018). No Lipschitz bound: a product grows with its factors.
class Multiply final : public Module {
 public:
  Var forward(Tape& tape, std::span<const Var> x) override;
  Shape output_shape(std::span<const Shape> x) const override;
  Cost cost(std::span<const Shape> x) const override;
  LayerBound bound(std::span<const UpperBound> in, std::span<const Shape> x) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const override;
};

/// a[c] x + b[c] of (C, H, W) or (C): preprocessing that a file holds, or the evaluation form of a batch norm.
/// Parameters weight (a, 1 at first) and bias (b, 0 at first).
class ScaleShift final : public UnaryModule {
 public:
  ScaleShift(const Attributes& attributes, const BuildContext& context);
  using UnaryModule::cost;
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  Cost cost(const Shape& x) const override;
  /// The largest |a|.
  LayerBound lipschitz(const Shape& x) const override;
  RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const override;
  EpilogueStep epilogue_step(const TapeMode&) const override { return {.kind = EpilogueStep::Kind::affine}; }
  ChannelAffine channel_affine(Tape& tape) const override { return {tape.use(scale_), tape.use(shift_)}; }
  void visit(const std::string& path, Visitor& visitor) override;

 private:
  Backend& backend_;
  mutable Parameter scale_, shift_;
};

}  // namespace gsnet
