// Shape: the extents of a tensor, written in logical order: (N, C, H, W) for activations, (O, I, Kh, Kw) for kernels.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace gsnet {

/// Up to six extents, each >= 0. A value: copying allocates nothing.
class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  /// Throws Error for more than kMaxRank extents, a negative one, or a product that overflows int64.
  Shape(std::initializer_list<int64_t> extents);
  explicit Shape(std::span<const int64_t> extents);

  int rank() const { return rank_; }
  /// Extent of axis i; negative i counts from the end. Throws Error if there is no such axis.
  int64_t operator[](int i) const;
  /// Product of the extents; 1 for rank 0.
  int64_t numel() const;
  std::span<const int64_t> extents() const { return {extents_.data(), static_cast<size_t>(rank_)}; }
  /// The same shape with axis i replaced.
  Shape with(int i, int64_t extent) const;

  bool operator==(const Shape&) const = default;

 private:
  int axis(int i) const;

  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

/// "(2, 3, 32, 32)"
std::string to_string(const Shape& shape);

}  // namespace gsnet
