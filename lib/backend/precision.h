// How exactly products are made.
#pragma once

#include <cstdint>

namespace gsnet {

/// What the factors of products are rounded to; sums are f32. tf32 and bf16 are asked for by name only.
enum class Precision : uint8_t { f32, tf32, bf16 };
constexpr const char* kPrecisions[] = {"f32", "tf32", "bf16"};

}  // namespace gsnet
