// Pooling as a layer: means, Euclidean norms or maxima of windows.
#pragma once

#include "backend/pool.h"
#include "layers/module.h"

namespace gsnet {

/// Settings: kind ("average", "l2", "max"), kernel, stride (kernel), padding (an integer, [down, right] or [top, left,
/// bottom, right]; smaller than the window, which may hang over any side), count_pad (false: an average divides by the
/// pixels inside the picture; true: by the whole window), global (the whole map).
class Pool final : public UnaryModule {
 public:
  explicit Pool(const Attributes& attributes);
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override;
  Shape output_shape(const Shape& x) const override;
  LayerBound lipschitz(const Shape& x) const override;
  RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;

 private:
  PoolSpec at(const Shape& x) const;
  PoolSpec spec_;
  bool global_;
};

}  // namespace gsnet
