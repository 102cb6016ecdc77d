// GroupShuffleConv: the Group-and-Shuffle layer of arXiv 2406.10019.
#pragma once

#include <memory>

#include "layers/orthogonal/skew_conv.h"

namespace gsnet {

/// shuffle(g1) -> grouped k x k exponential -> shuffle(g2) -> grouped 1 x 1 exponential. Settings are SkewConv's, with
///   groups2   groups of the 1 x 1 exponential; 0: none, which is the paper's (g1, -)
///   variant   "gs" (default), "lpr": no shuffle before the first exponential
///   shuffle2  false: none between the two, as one option of the reference code computes
class GroupShuffleConv final : public UnaryModule {
 public:
  GroupShuffleConv(const Attributes& attributes, const BuildContext& context);

  using UnaryModule::cost;
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override { return spatial_->output_shape(x); }
  Cost cost(const Shape& x) const override;
  LayerBound lipschitz(const Shape& x) const override;
  RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;
  void visit(const std::string& path, Visitor& visitor) override;

 private:
  std::unique_ptr<SkewConv> spatial_;
  std::unique_ptr<SkewConv> mixing_;  // null when there is no second exponential
};

}  // namespace gsnet
