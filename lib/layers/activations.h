// Activations of plain networks, as files of pretrained networks name them. Inputs are (C, H, W) or (C) unless said.
#pragma once

#include "layers/module.h"

namespace gsnet {

/// x held between `min` and `max`, for any shape. Settings: min, max, both optional (ReLU6 is 0 and 6).
class Clip final : public UnaryModule {
 public:
  explicit Clip(const Attributes& attributes);
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override { return x; }
  LayerBound lipschitz(const Shape&) const override { return {UpperBound::proven(1), "slope"}; }
  /// Exact: numbers are moved and compared only.
  RoundingBound rounding(std::span<const Shape>, const Arithmetic&) const override { return {}; }
  EpilogueStep epilogue_step(const TapeMode&) const override { return {EpilogueStep::Kind::clip, low_, high_}; }
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const override;

 private:
  double low_, high_;
};

/// x where x > 0, else slope[c] x: He et al. (ICCV 2015). Parameter weight (C), 0.25 at first.
class Prelu final : public UnaryModule {
 public:
  Prelu(const Attributes& attributes, const BuildContext& context);
  using UnaryModule::cost;
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  Cost cost(const Shape& x) const override;
  /// The largest of 1 and the slopes' absolute values.
  LayerBound lipschitz(const Shape& x) const override;
  /// One product a number.
  RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const override;
  void visit(const std::string& path, Visitor& visitor) override;

 private:
  Backend& backend_;
  Parameter slope_;
};

/// The same with one slope that is given. Settings: slope (0.01).
class LeakyRelu final : public UnaryModule {
 public:
  LeakyRelu(const Attributes& attributes, const BuildContext& context);
  using UnaryModule::cost;
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  Cost cost(const Shape& x) const override;
  LayerBound lipschitz(const Shape& x) const override;
  RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const override;

 private:
  Backend& backend_;
  Tensor slope_;  // (C)
};

/// 1 / (1 + exp(-x)), or tanh x, for any shape. No bound of their rounding errors: the C library's exponential states
/// none.
class Squash final : public UnaryModule {
 public:
  /// `op`: UnaryOp::sigmoid or UnaryOp::tanh.
  explicit Squash(UnaryOp op) : op_(op) {}
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override { return x; }
  /// Slopes s (1 - s) of the sigmoid and 1 - tanh^2.
  LayerBound lipschitz(const Shape& x) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const override;

 private:
  UnaryOp op_;
};

/// x sigmoid(x), for any shape: also called swish.
class Silu final : public UnaryModule {
 public:
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override { return x; }
  LayerBound lipschitz(const Shape& x) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const override;
};

/// h(x) = alpha x + beta held between 0 and 1, or x h(x) with 1/6 and 1/2: Howard et al. (ICCV 2019).
class HardSigmoid final : public UnaryModule {
 public:
  /// Settings: alpha (1/6), beta (1/2); none for hard_swish.
  HardSigmoid(const Attributes& attributes, const BuildContext& context, bool swish);
  using UnaryModule::cost;
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  Cost cost(const Shape& x) const override;
  LayerBound lipschitz(const Shape& x) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const override;

 private:
  Backend& backend_;
  bool swish_;
  double alpha_;
  Tensor scale_, shift_;  // (C)
};

/// Over the channels.
class Softmax final : public UnaryModule {
 public:
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  LayerBound lipschitz(const Shape& x) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const override;
};

}  // namespace gsnet
