// Numbers of tensor cores.
#pragma once

#include <bit>
#include <cstdint>

namespace gsnet::ptx {

/// To the nearest, halves away from zero.
inline uint32_t to_tf32(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7F800000) == 0x7F800000) return bits;
  return (bits + 0x1000) & ~uint32_t{0x1FFF};
}

}  // namespace gsnet::ptx
