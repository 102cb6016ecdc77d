// Convolution kernels.  x (N, Ci, H, W)  w (Co, Ci/g, Kh, Kw)  y (N, Co, Ho, Wo); activations channels-last, w
// row-major.
#pragma once

#include <array>
#include <limits>

#include "core/tensor.h"

namespace gsnet {

struct ConvSpec {
  std::array<int64_t, 2> stride = {1, 1};     ///< down, right
  std::array<int64_t, 4> pad = {0, 0, 0, 0};  ///< zeros at top, left, bottom, right
  std::array<int64_t, 2> dilation = {1, 1};   ///< 1: neighbouring taps
  int64_t groups = 1;

  bool operator==(const ConvSpec&) const = default;
};

/// What a convolution does to its sums before it writes them: y = conv(x, w) + bias + addend, held between low and
/// high. V: Tensor, or Var in ops.
template <class V>
struct ConvEpilogue {
  const V* bias = nullptr;    ///< (Co)
  const V* addend = nullptr;  ///< of y's shape and layout
  /// low at most high; NaN may become either of them, and where there is a low but no high, infinity the largest
  /// number.
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();

  bool clips() const {
    return low > -std::numeric_limits<double>::infinity() || high < std::numeric_limits<double>::infinity();
  }
};

/// Whether the convolution is a product of pixels' channels with a matrix.
bool is_pointwise(const Shape& w, const ConvSpec& spec);

/// Checks that shapes fit together and gives y's shape; throws Error naming the axis that does not fit.
Shape conv2d_shape(const Shape& x, const Shape& w, const ConvSpec& spec);

/// Every output is assigned, never accumulated into.
class ConvKernels {
 public:
  virtual ~ConvKernels() = default;
  virtual void conv2d(const Tensor& x, const Tensor& w, const ConvEpilogue<Tensor>& after, const ConvSpec& spec,
                      Tensor& y) = 0;
  /// dx = the adjoint of conv2d in x, applied to dy.
  virtual void conv2d_dgrad(const Tensor& dy, const Tensor& w, const ConvSpec& spec, Tensor& dx) = 0;
  /// dw = the adjoint of conv2d in w, applied to dy: a sum over images and pixels.
  virtual void conv2d_wgrad(const Tensor& x, const Tensor& dy, const ConvSpec& spec, Tensor& dw) = 0;
};

}  // namespace gsnet
