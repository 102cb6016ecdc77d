// Losses on logits z (N, K) with labels (N) i32.
#pragma once

#include "core/tensor.h"

namespace gsnet {

/// Offset-temperature cross-entropy (Prach and Lampert, "AOL", ECCV 2022): t CE((z - offset e_y) / t).
/// Offset 0 and temperature 1 give the plain one.
struct CrossEntropySpec {
  double offset = 0;
  double temperature = 1;

  bool operator==(const CrossEntropySpec&) const = default;
};

/// Softmax over the cosines z of angles to K class centres, with a margin on the true class. Its cosine cos(theta)
/// becomes phi(t) - lower[n] with t = max(multiply theta + raise[n], 0) and phi(t) = (-1)^k cos t - 2 k for
/// k = floor(t / pi), which goes on falling where the cosine would rise again; then logits are `scale` times cosines.
/// multiply, raise, lower: SphereFace m, 0, 0; ArcFace 1, m, 0; CosFace 1, 0, m; AdaFace different ones a sample.
struct MarginSoftmaxSpec {
  double scale = 64;
  double multiply = 1;          ///< >= 1
  bool easy = false;            ///< no margin where cos(theta) is not above 0
  bool plain_gradient = false;  ///< the margin passes no derivative: d(true logit) / d(cos theta) is taken as `scale`

  bool operator==(const MarginSoftmaxSpec&) const = default;
};

class LossKernels {
 public:
  virtual ~LossKernels() = default;
  /// loss (N), and p (N, K) the softmax of (z - offset e_y) / t, saved for the backward pass.
  /// Labels outside [0, K) are an Error.
  virtual void cross_entropy(const CrossEntropySpec& spec, const Tensor& z, const Tensor& labels, Tensor& loss,
                             Tensor& p) = 0;
  /// dz = (p - e_y) dloss[n].
  virtual void cross_entropy_backward(const Tensor& p, const Tensor& labels, const Tensor& dloss, Tensor& dz) = 0;
  /// margin (N) = z_y - max_{j != y} z_j, and rival (N) i32 the first j that reaches the maximum. K >= 2.
  virtual void margin(const Tensor& z, const Tensor& labels, Tensor& margin, Tensor& rival) = 0;
  virtual void margin_backward(const Tensor& labels, const Tensor& rival, const Tensor& dmargin, Tensor& dz) = 0;

  /// loss (N), the cross-entropy of the logits, p (N, K) their softmax and slope (N) the derivative of the true class's
  /// cosine after the margin to that before it: what the backward pass needs. raise, lower (N). Cosines beyond [-1, 1]
  /// by rounding count as at its end; sin(theta) as at least 1e-3 where the slope divides by it.
  virtual void margin_softmax(const MarginSoftmaxSpec& spec, const Tensor& z, const Tensor& labels, const Tensor& raise,
                              const Tensor& lower, Tensor& loss, Tensor& p, Tensor& slope) = 0;
  /// dz = scale (p - e_y) dloss[n], the true class's times slope[n].
  virtual void margin_softmax_backward(const MarginSoftmaxSpec& spec, const Tensor& p, const Tensor& slope,
                                       const Tensor& labels, const Tensor& dloss, Tensor& dz) = 0;
};

}  // namespace gsnet
