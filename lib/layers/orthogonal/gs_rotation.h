// GsRotation: the channels turned by an orthogonal Group-and-Shuffle matrix.
#pragma once

#include <vector>

#include "backend/rotation.h"
#include "layers/module.h"

namespace gsnet {

/// y = Q x at every pixel of (C, H, W), or of (C); Q a product of `factors` block-diagonal orthogonal matrices between
/// shuffles (arXiv 2406.10019), each block the Cayley transform of a skew-symmetric one. An isometry: put before a
/// layer, it adapts it and leaves every Lipschitz bound and certificate as it is. Settings: block (16; the largest
/// divisor of C below), factors (2). Parameters factor0, … (C / b, b (b - 1) / 2), strict triangles of generators,
/// 0 at first, which is the identity.
class GsRotation final : public UnaryModule {
 public:
  GsRotation(const Attributes& attributes, const BuildContext& context);

  using UnaryModule::cost;
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  Cost cost(const Shape& x) const override;
  /// Of the matrix as executed: 1, and how far it is from the rotation.
  LayerBound lipschitz(const Shape&) const override;
  RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;
  void visit(const std::string& path, Visitor& visitor) override;

 private:
  /// Q (C, C, 1, 1).
  Var matrix(Tape& tape) const;
  /// Bound of |Q as executed - the orthogonal matrix of the generators|.
  UpperBound executed_error(const Tensor& executed) const;

  Backend& backend_;
  std::vector<BlockPattern> patterns_;
  mutable std::vector<Parameter> generators_;
  mutable Tensor kept_;      // in evaluation
  mutable Tensor identity_;  // that the product of factors begins with
  mutable uint64_t kept_version_ = 0;
};

}  // namespace gsnet
