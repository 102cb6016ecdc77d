// Elementwise kernels and activations. Outputs have the shape and layout of x and are assigned; y may be x itself
// unless it says otherwise.
#pragma once

#include "core/tensor.h"

namespace gsnet {

enum class UnaryOp : uint8_t { relu, abs, square, sqrt, exp, log, reciprocal, sigmoid, tanh };
enum class BinaryOp : uint8_t { add, subtract, multiply };

/// Which channels an activation on pairs takes together.
enum class Pairing : uint8_t {
  halves,      ///< (c, c + C/2): MaxMin
  neighbours,  ///< (2c, 2c + 1): MaxMinPermuted
};
/// What goes to the first of a pair. The GS paper writes the maximum first, its code the minimum.
enum class PairOrder : uint8_t { max_first, min_first };

struct MaxMinSpec {
  Pairing pairing = Pairing::neighbours;
  PairOrder order = PairOrder::max_first;

  bool operator==(const MaxMinSpec&) const = default;
};

/// Words of 32 pairs each that tell which pairs of x are exchanged.
inline Shape order_shape(const Tensor& x) { return {(x.numel() / 2 + 31) / 32}; }

class EltwiseKernels {
 public:
  virtual ~EltwiseKernels() = default;

  virtual void fill(double value, Tensor& y) = 0;
  virtual void copy(const Tensor& x, Tensor& y) = 0;
  virtual void unary(UnaryOp op, const Tensor& x, Tensor& y) = 0;
  /// dx from x, y = unary(x) and dy. At a kink (relu, abs at 0) the derivative is taken as 0. Not in place.
  virtual void unary_backward(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx) = 0;
  /// a, b, y of one shape and layout.
  virtual void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) = 0;
  /// y = alpha x + beta z.
  virtual void axpby(double alpha, const Tensor& x, double beta, const Tensor& z, Tensor& y) = 0;
  /// y = alpha x.
  virtual void scale(double alpha, const Tensor& x, Tensor& y) = 0;
  /// y[n, c, ...] = x[n, c, ...] + b[c]; x of rank 2 or 4, b (C).
  virtual void add_bias(const Tensor& x, const Tensor& b, Tensor& y) = 0;
  /// y[n, c, ...] = a[c] x[n, c, ...]; x of rank 2 or 4, a (C).
  virtual void scale_channels(const Tensor& x, const Tensor& a, Tensor& y) = 0;
  /// y[n, c, ...] = a[c] x[n, c, ...] + b[c]; x of rank 2 or 4, a and b (C).
  virtual void scale_shift(const Tensor& x, const Tensor& a, const Tensor& b, Tensor& y) = 0;
  /// y[n, c, h, w] = a[n, c] x[n, c, h, w]; a (N, C, 1, 1).
  virtual void scale_maps(const Tensor& x, const Tensor& a, Tensor& y) = 0;

  /// y = x held between low and high, low <= high; either may be infinite. NaN stays.
  virtual void clip(double low, double high, const Tensor& x, Tensor& y) = 0;
  /// dx = dy where low < x < high, else 0.
  virtual void clip_backward(double low, double high, const Tensor& x, const Tensor& dy, Tensor& dx) = 0;
  /// y = x where x > 0, else slope[c] x (He et al., ICCV 2015); x of rank 2 or 4, slope (C).
  virtual void prelu(const Tensor& x, const Tensor& slope, Tensor& y) = 0;
  /// dslope (C): sums over all else, in a fixed order. Either output may be null.
  virtual void prelu_backward(const Tensor& x, const Tensor& slope, const Tensor& dy, Tensor* dx, Tensor* dslope) = 0;
  /// Over the channels of x (N, C, H, W) or (N, C). Not in place.
  virtual void softmax(const Tensor& x, Tensor& y) = 0;
  /// dx from y = softmax(x) and dy.
  virtual void softmax_backward(const Tensor& y, const Tensor& dy, Tensor& dx) = 0;

  /// MaxMin: each pair of channels sorted. x (N, C, H, W) or (N, C), C even. Ties: the first stays first, in the
  /// gradient too. Not in place.
  virtual void maxmin(const MaxMinSpec& spec, const Tensor& x, Tensor& y) = 0;
  virtual void maxmin_backward(const MaxMinSpec& spec, const Tensor& x, const Tensor& dy, Tensor& dx) = 0;
  /// Which pairs of x maxmin exchanges: bit i % 32 of word i / 32 of `order`, i32, is pair i, counted pixel by pixel.
  virtual void maxmin_order(const MaxMinSpec& spec, const Tensor& x, Tensor& order) = 0;
  /// y: x with these pairs exchanged. Its own inverse and adjoint.
  virtual void exchange_pairs(Pairing pairing, const Tensor& order, const Tensor& x, Tensor& y) = 0;
  /// GroupSort (Anil et al., 2019): each run of `size` neighbouring channels in descending order, ties stable.
  virtual void group_sort(int64_t size, const Tensor& x, Tensor& y) = 0;
  virtual void group_sort_backward(int64_t size, const Tensor& x, const Tensor& dy, Tensor& dx) = 0;
  /// Householder of order 1 (Singla et al., ICLR 2022): a pair (a, b) with angle t is reflected by [[cos t, sin t],
  /// [sin t, -cos t]] where a sin(t/2) - b cos(t/2) > 0 and kept elsewhere; t = pi/2 is MaxMin, minimum first.
  /// theta (C/2), one angle a pair.
  virtual void householder(Pairing pairing, const Tensor& x, const Tensor& theta, Tensor& y) = 0;
  virtual void householder_backward(Pairing pairing, const Tensor& x, const Tensor& theta, const Tensor& dy, Tensor& dx,
                                    Tensor& dtheta) = 0;
};

}  // namespace gsnet
