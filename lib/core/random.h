// Counter-based random numbers: a draw is a function of a key and a position, so neither threads nor order matter.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace gsnet {

/// Names one stream of random numbers. Derive one for each purpose: Key(seed).with(epoch).with(sample).
class RandomKey {
 public:
  explicit RandomKey(uint64_t seed = 0) : value_(seed) {}
  /// An independent stream: the same (key, number) gives the same stream everywhere.
  RandomKey with(uint64_t number) const;
  uint64_t value() const { return value_; }

 private:
  uint64_t value_;
};

/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011), read in order.
class Random {
 public:
  explicit Random(RandomKey key) : key_(key.value()) {}

  uint32_t bits();
  /// Uniform in [0, 1) with 53 random bits.
  double uniform();
  /// Uniform in [low, high).
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Uniform in [0, bound), without bias. bound > 0.
  uint32_t below(uint32_t bound);
  /// Normal with mean 0 and standard deviation 1 (Box-Muller).
  double normal();
  /// Fisher-Yates.
  void shuffle(std::span<int64_t> values);

 private:
  uint64_t key_;
  uint64_t counter_ = 0;
  std::array<uint32_t, 4> block_{};
  int left_ = 0;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace gsnet
