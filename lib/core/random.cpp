#include "core/random.h"

#include <cmath>
#include <numbers>
#include <utility>

namespace gsnet {
namespace {

std::array<uint32_t, 4> philox(uint64_t counter, uint64_t key) {
  std::array<uint32_t, 4> c = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32U), 0, 0};
  auto k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32U);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c[0], p1 = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32U) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32U) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return c;
}

}  // namespace

RandomKey RandomKey::with(uint64_t number) const {
  const auto block = philox(number, value_ ^ 0x5851F42D4C957F2DULL);
  return RandomKey((uint64_t{block[1]} << 32U) | block[0]);
}

uint32_t Random::bits() {
  if (left_ == 0) {
    block_ = philox(counter_++, key_);
    left_ = 4;
  }
  return block_[static_cast<size_t>(4 - left_--)];
}

double Random::uniform() {
  const uint64_t high = bits(), low = bits();
  return static_cast<double>(((high << 32U) | low) >> 11U) * 0x1.0p-53;
}

uint32_t Random::below(uint32_t bound) {
  uint64_t product = uint64_t{bits()} * bound;
  const uint32_t threshold = (0U - bound) % bound;
  while (static_cast<uint32_t>(product) < threshold) product = uint64_t{bits()} * bound;
  return static_cast<uint32_t>(product >> 32U);
}

double Random::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  const double radius = std::sqrt(-2 * std::log1p(-uniform())), angle = 2 * std::numbers::pi * uniform();
  spare_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

void Random::shuffle(std::span<int64_t> values) {
  for (size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[below(static_cast<uint32_t>(i))]);
  }
}

}  // namespace gsnet
