// Layers without parameters of weight size: activations, shapes.
#pragma once

#include "layers/module.h"

namespace gsnet {

/// Neighbouring or halved pairs of channels sorted. Settings: pairing ("neighbours", "halves"), order ("max_first",
/// "min_first": what the GS reference code computes).
class MaxMin final : public UnaryModule {
 public:
  explicit MaxMin(const Attributes& attributes);
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  LayerBound lipschitz(const Shape&) const override { return {UpperBound::proven(1), "sorting"}; }
  /// Exact: numbers are moved and compared only.
  RoundingBound rounding(std::span<const Shape>, const Arithmetic&) const override { return {}; }
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;

 private:
  MaxMinSpec spec_;
};

/// Runs of `size` channels in descending order.
class GroupSort final : public UnaryModule {
 public:
  explicit GroupSort(const Attributes& attributes);
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  LayerBound lipschitz(const Shape&) const override { return {UpperBound::proven(1), "sorting"}; }
  /// Exact: numbers are moved and compared only.
  RoundingBound rounding(std::span<const Shape>, const Arithmetic&) const override { return {}; }
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;

 private:
  int64_t size_;
};

/// Householder activation of order 1 with one learned angle a pair. Settings: pairing.
class Householder final : public UnaryModule {
 public:
  Householder(const Attributes& attributes, const BuildContext& context);
  using UnaryModule::cost;
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  Cost cost(const Shape& x) const override;
  LayerBound lipschitz(const Shape&) const override { return {UpperBound::proven(1), "reflections"}; }
  RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;
  void visit(const std::string& path, Visitor& visitor) override;

 private:
  Backend& backend_;
  Pairing pairing_;
  Parameter angle_;
};

class Relu final : public UnaryModule {
 public:
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override { return x; }
  LayerBound lipschitz(const Shape&) const override { return {UpperBound::proven(1), "slope"}; }
  /// Exact: numbers are moved and compared only.
  RoundingBound rounding(std::span<const Shape>, const Arithmetic&) const override { return {}; }
  EpilogueStep epilogue_step(const TapeMode&) const override { return {.kind = EpilogueStep::Kind::clip, .low = 0}; }
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;
};

class Flatten final : public UnaryModule {
 public:
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override { return {x.numel()}; }
  LayerBound lipschitz(const Shape&) const override { return {UpperBound::proven(1), "isometry"}; }
  /// Exact: numbers are moved and compared only.
  RoundingBound rounding(std::span<const Shape>, const Arithmetic&) const override { return {}; }
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;
};

class SpaceToDepth final : public UnaryModule {
 public:
  explicit SpaceToDepth(const Attributes& attributes);
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  LayerBound lipschitz(const Shape&) const override { return {UpperBound::proven(1), "isometry"}; }
  /// Exact: numbers are moved and compared only.
  RoundingBound rounding(std::span<const Shape>, const Arithmetic&) const override { return {}; }
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;

 private:
  int64_t block_;
};

/// Channels of zeros before and after the input's, the shortcut of a residual network without parameters (He et al.,
/// 2016, option A). Settings: before (0), after (0), up to 65,536.
class PadChannels final : public UnaryModule {
 public:
  explicit PadChannels(const Attributes& attributes);
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  LayerBound lipschitz(const Shape&) const override { return {UpperBound::proven(1), "isometry"}; }
  /// Exact: numbers are moved and compared only.
  RoundingBound rounding(std::span<const Shape>, const Arithmetic&) const override { return {}; }
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;

 private:
  ChannelMap map(int64_t channels) const;
  int64_t before_, after_;
};

/// Sum of its inputs: residual and branching networks. Bound: the sum of theirs.
class Add final : public Module {
 public:
  Var forward(Tape& tape, std::span<const Var> x) override;
  Shape output_shape(std::span<const Shape> x) const override;
  Cost cost(std::span<const Shape>) const override { return {}; }
  LayerBound bound(std::span<const UpperBound> in, std::span<const Shape> x) const override;
  RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const override;
  EpilogueStep epilogue_step(const TapeMode&) const override { return {.kind = EpilogueStep::Kind::add}; }
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;
};

}  // namespace gsnet
