// Rotations of one dimension by small blocks: what Group-and-Shuffle, block-diagonal and butterfly matrices are made
// of.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor.h"

namespace gsnet {

/// Which places of a dimension of n each block takes: block j of n / b acts on order()[j b … j b + b).
class BlockPattern {
 public:
  /// Throws Error unless b divides n and `order` is a permutation of 0 … n - 1.
  BlockPattern(int64_t block, std::vector<int32_t> order);

  /// P^times of the Group-and-Shuffle matrix (arXiv 2406.10019), P the stride permutation: 0 takes runs of neighbours,
  /// 1 takes places that are equal modulo n / b, and so on.
  static BlockPattern shuffled(int64_t n, int64_t block, int times);
  /// Factor `level` of a block butterfly (Liu et al., "BOFT", ICLR 2024): within runs of b 2^level places, the even
  /// half-blocks and then the odd ones. Level 0 of a single factor takes neighbours; of several, see `factors`.
  /// Throws Error unless b is even and b 2^(factors - 1) divides n.
  static BlockPattern butterfly(int64_t n, int64_t block, int level, int factors);

  int64_t size() const { return static_cast<int64_t>(order_.size()); }
  int64_t block() const { return block_; }
  int64_t blocks() const { return size() / block_; }
  std::span<const int32_t> order() const { return order_; }

  bool operator==(const BlockPattern&) const = default;

 private:
  int64_t block_;
  std::vector<int32_t> order_;
};

/// x is read, in memory order, as (groups, outer, n, inner): each group has blocks of its own.
struct RotationSpec {
  BlockPattern pattern;
  int64_t groups = 1;
  int64_t inner = 1;
  bool transpose = false;  ///< rows are multiplied from the right: y[t] = sum_u x[u] q[u][t], not sum_u q[t][u] x[u]

  /// Throws Error unless groups n inner divides the elements of x, and q is (groups blocks, b, b).
  int64_t outer(const Shape& x, const Shape& q) const;
};

class RotationKernels {
 public:
  virtual ~RotationKernels() = default;

  /// y = x with every block of every n-vector multiplied by its q. x and y row-major.
  virtual void rotate(const RotationSpec& spec, const Tensor& x, const Tensor& q, Tensor& y) = 0;
  /// dq of the same; dx is rotate() of dy with `transpose` turned over.
  virtual void rotate_backward(const RotationSpec& spec, const Tensor& x, const Tensor& dy, Tensor& dq) = 0;

  /// k (B, b, b) skew-symmetric from the strict upper triangles v (B, b (b - 1) / 2), row by row: k[i][j] = v, k[j][i]
  /// = -v.
  virtual void skew_from_triangle(const Tensor& v, Tensor& k) = 0;
  /// Its adjoint: dv = dk[i][j] - dk[j][i].
  virtual void skew_from_triangle_backward(const Tensor& dk, Tensor& dv) = 0;

  /// y[r, …] = s[r] x[r, …]; x (R, …) row-major, s (R).
  virtual void scale_rows(const Tensor& x, const Tensor& s, Tensor& y) = 0;
  /// ds[r] = sum of x[r, …] dy[r, …].
  virtual void scale_rows_backward(const Tensor& x, const Tensor& dy, Tensor& ds) = 0;
};

}  // namespace gsnet
