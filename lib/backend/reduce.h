// Reductions, in a fixed order on every machine: the same input and thread count give the same bits.
#pragma once

#include <vector>

#include "core/tensor.h"

namespace gsnet {

class ReduceKernels {
 public:
  virtual ~ReduceKernels() = default;
  /// y (C): sum over all but channel axis 1; x of rank 2 or 4.
  virtual void sum_to_channels(const Tensor& x, Tensor& y) = 0;
  /// y (1): sum of all elements.
  virtual void sum(const Tensor& x, Tensor& y) = 0;
  /// Sum of squares of all elements, in double; NaN or infinity come through, so it also tells a finite tensor.
  virtual double sum_of_squares(const Tensor& x) = 0;
  /// y (N) = |x[n]|_2 of every sample n, summed in double.
  virtual void row_norms(const Tensor& x, Tensor& y) = 0;
  /// The same on the host, in double.
  virtual std::vector<double> sample_norms(const Tensor& x) = 0;
};

}  // namespace gsnet
