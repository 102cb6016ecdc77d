#include "certify/smoothing_noise.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "core/error.h"

namespace gsnet {
namespace {

constexpr int kGuideBits = 12;

}  // namespace

RoundedNormal::RoundedNormal(double deviation) {
  GSNET_CHECK(deviation > 0 && deviation <= 4096,
              fmt::format("[smoothing] a deviation of {} levels, expected above 0 and up to 4096", deviation));
  std::vector<uint64_t> tails;  // 2^64 P(draw > k), until it is below 1
  double error = 0x1p-62;       // of both tails beyond the last
  for (;;) {
    const double x = (static_cast<double>(tails.size()) + 0.5) / deviation / std::numbers::sqrt2;
    const double tail = 0.5 * std::erfc(x);
    const auto units = static_cast<uint64_t>(tail * 0x1p64);
    // The argument is good to 4 units, which erfc magnifies by at most 2 x^2 + 2; erfc itself is good to 8.
    error += 2 * (tail * (2 * x * x + 16) * 0x1p-50 + 0x1p-63);
    if (units == 0) break;
    tails.push_back(units);
  }
  error_ = UpperBound::proven(outward(error, 1e-9));
  largest_ = static_cast<int32_t>(tails.size());
  starts_.push_back(0);
  for (auto tail = tails.rbegin(); tail != tails.rend(); ++tail) starts_.push_back(*tail);
  for (const uint64_t tail : tails) starts_.push_back(0 - tail);
  starts_.push_back(UINT64_MAX);
  for (const uint64_t start : starts_) heads_.push_back(static_cast<uint32_t>(start >> 32U));
  int32_t j = 0;
  for (uint64_t first = 0; first < uint64_t{1} << kGuideBits; ++first) {
    while (j < 2 * largest_ && starts_[static_cast<size_t>(j) + 1] <= first << (64 - kGuideBits)) ++j;
    guide_.push_back(j);
  }
}

int32_t RoundedNormal::operator()(Random& random) const {
  const uint32_t head = random.bits();
  auto j = static_cast<size_t>(guide_[head >> (32 - kGuideBits)]);
  while (head > heads_[j + 1]) ++j;
  if (head == heads_[j + 1]) {
    const uint64_t bits = (uint64_t{head} << 32U) | random.bits();
    while (j + 2 < starts_.size() && bits >= starts_[j + 1]) ++j;
  }
  return static_cast<int32_t>(j) - largest_;
}

}  // namespace gsnet
