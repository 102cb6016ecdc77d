// Batch normalisation.
#pragma once

#include "layers/module.h"

namespace gsnet {

/// y = gamma (x - mean) / sqrt(var + epsilon) + beta a channel, of (C, H, W) or (C): Ioffe and Szegedy (ICML 2015).
/// Evaluation uses the running statistics. So does training, unless `statistics` is "batch": then it uses the batch's
/// and moves the running ones towards them (variance unbiased). Parameters weight (gamma), bias (beta); buffers
/// running_mean, running_var.
class BatchNorm final : public UnaryModule {
 public:
  /// Settings: epsilon (1e-5), affine (true), statistics ("frozen", "batch"), momentum of the running statistics (0.1).
  BatchNorm(const Attributes& attributes, const BuildContext& context);

  using UnaryModule::cost;
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  Cost cost(const Shape& x) const override;
  /// Of the evaluation form: the largest |scale|, as executed. Throws Error for a variance that gives none.
  LayerBound lipschitz(const Shape& x) const override;
  /// Of scale x + shift, both as executed.
  RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;
  EpilogueStep epilogue_step(const TapeMode& mode) const override;
  ChannelAffine channel_affine(Tape& tape) const override { return evaluation_form(tape); }
  void visit(const std::string& path, Visitor& visitor) override;

 private:
  ChannelAffine affine(Tape& tape, const Var& mean, const Var& variance) const;
  /// What is executed outside of training with the batch's statistics.
  ChannelAffine evaluation_form(Tape& tape) const;
  Var batch_forward(Tape& tape, const Var& x);

  Backend& backend_;
  mutable Parameter gamma_, beta_;
  Tensor mean_, variance_, epsilon_;
  double momentum_;
  bool affine_, batch_;  // gamma and beta; statistics of the batch in training
};

}  // namespace gsnet
