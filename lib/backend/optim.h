// One step of an optimiser on one parameter, in place.
#pragma once

#include "core/tensor.h"

namespace gsnet {

struct SgdSpec {
  double rate_factor = 1;
  double momentum = 0.9;
  double weight_decay = 0;
  bool nesterov = false;
};

struct AdamWSpec {
  double rate_factor = 1;
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;  ///< decoupled (Loshchilov and Hutter, 2019)
};

/// What changes from step to step lies in the machine's memory, so that a recorded step reads it anew.
constexpr int64_t kPaceNumbers = 3;  ///< the rate; for AdamW's step t 1 / (1 - beta1^t) and 1 / sqrt(1 - beta2^t)

class OptimKernels {
 public:
  virtual ~OptimKernels() = default;
  /// g' = dw + decay w;  v = momentum v + g';  w -= rate (nesterov ? g' + momentum v : v), with the rate of `pace`
  /// (kPaceNumbers) times the spec's factor.
  virtual void sgd_step(const SgdSpec& spec, const Tensor& pace, const Tensor& dw, Tensor& w, Tensor& v) = 0;
  virtual void adamw_step(const AdamWSpec& spec, const Tensor& pace, const Tensor& dw, Tensor& w, Tensor& m,
                          Tensor& v) = 0;
};

}  // namespace gsnet
