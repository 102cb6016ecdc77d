// One step of an optimiser on one parameter, in place.
#pragma once

#include "core/tensor.h"

namespace gsnet {

struct SgdSpec {
  double rate = 0.1;
  double momentum = 0.9;
  double weight_decay = 0;
  bool nesterov = false;
};

struct AdamWSpec {
  double rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;  ///< decoupled (Loshchilov and Hutter, 2019)
  int64_t step = 1;            ///< counts from 1, for the bias correction
};

class OptimKernels {
 public:
  virtual ~OptimKernels() = default;
  /// g' = dw + decay w;  v = momentum v + g';  w -= rate (nesterov ? g' + momentum v : v).
  virtual void sgd_step(const SgdSpec& spec, const Tensor& dw, Tensor& w, Tensor& v) = 0;
  virtual void adamw_step(const AdamWSpec& spec, const Tensor& dw, Tensor& w, Tensor& m, Tensor& v) = 0;
};

}  // namespace gsnet
