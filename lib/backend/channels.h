// Moving channels, pixels and rows without arithmetic. x of rank 2 or 4, channels-last in memory.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "core/tensor.h"

namespace gsnet {

/// Where each output channel comes from: y[c] = x[source[c]], or 0 where source[c] is -1. No input channel is used
/// twice, so that one map tells a permutation, a padding, a crop, or all three at once, and its adjoint is a map too.
class ChannelMap {
 public:
  /// Throws Error for a source outside [-1, inputs) or used twice.
  ChannelMap(int64_t inputs, std::vector<int32_t> source);

  /// Channel shuffle of the Group-and-Shuffle layer (arXiv 2406.10019): plain, out[(i mod g) C/g + i / g] = in[i];
  /// paired, neighbouring pairs move together. Where g does not divide C (or C/2) the channels are dealt out to the
  /// groups in turn just so, and the first groups get one (or one pair) more.
  static ChannelMap shuffle(int64_t channels, int64_t groups, bool paired);
  /// The first min(inputs, outputs) channels, zeros after them: the reference code's padding and cropping.
  static ChannelMap head(int64_t inputs, int64_t outputs);
  /// The same within each of `groups` equal runs of channels, so that no group is lost or left empty. When `groups`
  /// does not divide one of the counts, channels are dealt out as evenly as possible.
  static ChannelMap per_group(int64_t inputs, int64_t outputs, int64_t groups);

  int64_t inputs() const { return inputs_; }
  int64_t outputs() const { return static_cast<int64_t>(source_.size()); }
  std::span<const int32_t> source() const { return source_; }
  bool is_identity() const;
  /// The adjoint (and, for a permutation, the inverse).
  ChannelMap adjoint() const;
  /// First this, then `next`.
  ChannelMap then(const ChannelMap& next) const;

 private:
  int64_t inputs_;
  std::vector<int32_t> source_;
};

class ChannelKernels {
 public:
  virtual ~ChannelKernels() = default;
  virtual void map_channels(const ChannelMap& map, const Tensor& x, Tensor& y) = 0;
  /// y (N, C b b, H/b, W/b): channel c b b + u b + v of y at (h, w) is channel c of x at (h b + u, w b + v).
  virtual void space_to_depth(int64_t block, const Tensor& x, Tensor& y) = 0;
  /// Its inverse and adjoint.
  virtual void depth_to_space(int64_t block, const Tensor& x, Tensor& y) = 0;
  /// y: the channels of all x one after another; (N, C_i, H, W) or (N, C_i), equal but for the channels.
  virtual void concat(std::span<const Tensor> x, Tensor& y) = 0;
  /// y (N, C, H + top + bottom, W + left + right): x (N, C, H, W) with `value` around it.
  virtual void pad(const std::array<int64_t, 4>& sides, double value, const Tensor& x, Tensor& y) = 0;
  /// y: x without so many rows and columns at its sides (top, left, bottom, right); the adjoint of padding with zeros.
  virtual void crop(const std::array<int64_t, 4>& sides, const Tensor& x, Tensor& y) = 0;
  /// Axis i of y is axis axes[i] of x, ranks up to 4, each tensor in a layout of its own.
  virtual void permute(std::span<const int64_t> axes, const Tensor& x, Tensor& y) = 0;
  /// Between memory layouts of rank-4 tensors.
  virtual void convert_layout(const Tensor& x, Tensor& y) = 0;
  /// y (M, C) = rows of x (R, C): y[i] = x[index[i]]. index (M) i32, each in [0, R), else Error.
  virtual void gather_rows(const Tensor& x, const Tensor& index, Tensor& y) = 0;
  /// Its adjoint: dx (R, C) is 0 but for dx[index[i]], the sum of the dy[i] (M, C) that go there, in order of i.
  virtual void scatter_rows(const Tensor& dy, const Tensor& index, Tensor& dx) = 0;
};

}  // namespace gsnet
