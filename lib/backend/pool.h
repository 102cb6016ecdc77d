// Pooling.  x (N, C, H, W)  y (N, C, Ho, Wo), channels-last.
#pragma once

#include <array>

#include "core/tensor.h"

namespace gsnet {

enum class PoolKind : uint8_t {
  average,  ///< mean over the window's elements inside the picture
  l2,       ///< Euclidean norm of the window: 1-Lipschitz when windows do not overlap
  max,
};

struct PoolSpec {
  PoolKind kind = PoolKind::average;
  std::array<int64_t, 2> kernel = {2, 2};
  std::array<int64_t, 2> stride = {2, 2};
  std::array<int64_t, 4> pad = {0, 0, 0, 0};  ///< top, left, bottom, right; padding never counts
  bool count_pad = false;                     ///< average: divide by the whole window, padding included

  bool operator==(const PoolSpec&) const = default;
};

/// Throws Error when the window does not fit.
Shape pool_shape(const Shape& x, const PoolSpec& spec);

class PoolKernels {
 public:
  virtual ~PoolKernels() = default;
  virtual void pool(const PoolSpec& spec, const Tensor& x, Tensor& y) = 0;
  /// l2 at a window of zeros has gradient 0; max gives the gradient to the first of equal elements.
  virtual void pool_backward(const PoolSpec& spec, const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx) = 0;
};

}  // namespace gsnet
