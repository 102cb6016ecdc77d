// Normal noise on the levels of a picture, drawn exactly.
#pragma once

#include <cstdint>
#include <vector>

#include "core/bound.h"
#include "core/random.h"

namespace gsnet {

/// A normal variable rounded to the nearest integer: P(k) = Phi((k + 1/2) / s) - Phi((k - 1/2) / s). A draw compares 64
/// random bits with the distribution function; all but one in some millions are decided by the first 32, and only those
/// are asked for. Const and thread-safe.
class RoundedNormal {
 public:
  /// `deviation` is s. Throws Error unless 0 < s <= 4096.
  explicit RoundedNormal(double deviation);

  int32_t operator()(Random& random) const;
  /// No draw is larger than this, nor smaller than its negative.
  int32_t largest() const { return largest_; }
  /// Total variation between the distribution of a draw, if the bits are fair coins, and the exact one.
  UpperBound error() const { return error_; }

 private:
  int32_t largest_ = 0;
  UpperBound error_ = UpperBound::proven(0);
  std::vector<uint64_t> starts_;  // draw j - largest_ where starts_[j] <= bits < starts_[j + 1]
  std::vector<uint32_t> heads_;   // their upper halves
  std::vector<int32_t> guide_;    // for each value of the first bits, the draw of the smallest number with them
};

}  // namespace gsnet
