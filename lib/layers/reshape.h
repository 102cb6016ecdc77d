// Layers that move numbers without changing them: around, into another shape, into another order.
#pragma once

#include <vector>

#include "layers/module.h"

namespace gsnet {

/// `value` around (C, H, W). Settings: padding (an integer, [down, right] or [top, left, bottom, right], each up to
/// 65,536), value (0).
class Pad final : public UnaryModule {
 public:
  explicit Pad(const Attributes& attributes);
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  LayerBound lipschitz(const Shape&) const override { return {UpperBound::proven(1), "isometry"}; }
  /// Exact: numbers are moved only.
  RoundingBound rounding(std::span<const Shape>, const Arithmetic&) const override { return {}; }
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const override;

 private:
  std::array<int64_t, 4> sides_;
  double value_;
};

/// A sample's elements under another shape, in logical order as in other libraries. Settings: shape (one to three
/// integers).
class Reshape final : public UnaryModule {
 public:
  explicit Reshape(const Attributes& attributes);
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  LayerBound lipschitz(const Shape&) const override { return {UpperBound::proven(1), "isometry"}; }
  /// Exact: numbers are moved only.
  RoundingBound rounding(std::span<const Shape>, const Arithmetic&) const override { return {}; }
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const override;

 private:
  Shape shape_;
};

/// A sample's axes in another order: axis i of the output is axis axes[i] of the input. Settings: axes (a permutation
/// of 0 … rank - 1).
class Permute final : public UnaryModule {
 public:
  explicit Permute(const Attributes& attributes);
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  LayerBound lipschitz(const Shape&) const override { return {UpperBound::proven(1), "isometry"}; }
  /// Exact: numbers are moved only.
  RoundingBound rounding(std::span<const Shape>, const Arithmetic&) const override { return {}; }
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const override;

 private:
  std::vector<int64_t> axes_;
};

}  // namespace gsnet
