#include "backend/rotation.h"

#include <fmt/format.h>

#include <numeric>

#include "core/error.h"

namespace gsnet {

BlockPattern::BlockPattern(int64_t block, std::vector<int32_t> order) : block_(block), order_(std::move(order)) {
  GSNET_CHECK(block >= 1 && size() >= 1 && size() % block == 0,
              fmt::format("[rotation] a dimension of {} does not divide into blocks of {}", size(), block));
  std::vector<bool> used(order_.size());
  for (const int32_t place : order_) {
    GSNET_CHECK(place >= 0 && place < size() && !used[static_cast<size_t>(place)],
                fmt::format("[rotation] the order is no permutation of 0 … {}", size() - 1));
    used[static_cast<size_t>(place)] = true;
  }
}

BlockPattern BlockPattern::shuffled(int64_t n, int64_t block, int times) {
  GSNET_CHECK(n >= 1 && block >= 1 && n % block == 0,
              fmt::format("[rotation] a dimension of {} does not divide into blocks of {}", n, block));
  const int64_t blocks = n / block;
  std::vector<int32_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (int i = 0; i < times; ++i) {
    for (int32_t& place : order) {
      const int64_t j = place / block, t = place % block;
      place = static_cast<int32_t>(t * blocks + j);
    }
  }
  return {block, std::move(order)};
}

BlockPattern BlockPattern::butterfly(int64_t n, int64_t block, int level, int factors) {
  GSNET_CHECK(factors >= 1 && factors < 31 && level >= 0 && level < factors,
              fmt::format("[rotation] there is no factor {} of {}", level, factors));
  if (factors == 1) return shuffled(n, block, 0);
  const int64_t run = block << level, widest = block << (factors - 1), half = block / 2;
  GSNET_CHECK(block >= 2 && block % 2 == 0 && n >= 1 && n % widest == 0,
              fmt::format("[rotation] a butterfly of {} factors with blocks of {} needs an even block and a multiple "
                          "of {}, got {}",
                          factors, block, widest, n));
  // Block place q of a run lies where the half-block order puts it: first the even halves, then the odd ones.
  std::vector<int32_t> order(static_cast<size_t>(n));
  const int64_t halves = run / half;
  for (int64_t begin = 0; begin < n; begin += run) {
    for (int64_t h = 0; h < halves; ++h) {
      const int64_t source = h < (halves + 1) / 2 ? 2 * h : 2 * (h - (halves + 1) / 2) + 1;
      for (int64_t i = 0; i < half; ++i) {
        order[static_cast<size_t>(begin + source * half + i)] = static_cast<int32_t>(begin + h * half + i);
      }
    }
  }
  return {block, std::move(order)};
}

int64_t RotationSpec::outer(const Shape& x, const Shape& q) const {
  const int64_t vectors = groups * pattern.size() * inner;
  GSNET_CHECK(groups >= 1 && inner >= 1 && x.numel() % vectors == 0,
              fmt::format("[rotation] {} does not divide into {} groups of vectors of {} with {} inside", to_string(x),
                          groups, pattern.size(), inner));
  GSNET_CHECK((q == Shape{groups * pattern.blocks(), pattern.block(), pattern.block()}),
              fmt::format("[rotation] needs blocks ({}, {}, {}), got {}", groups * pattern.blocks(), pattern.block(),
                          pattern.block(), to_string(q)));
  return x.numel() / vectors;
}

}  // namespace gsnet
