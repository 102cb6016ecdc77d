// Settings that several layers read alike.
#pragma once

#include <array>
#include <string_view>

#include "layers/description.h"

namespace gsnet {

/// One integer for both directions, or [down, right].
std::array<int64_t, 2> pair_setting(const Attributes& attributes, std::string_view key, int64_t missing);
/// "padding": one integer, [down, right], or [top, left, bottom, right]; 0 when missing.
std::array<int64_t, 4> padding_setting(const Attributes& attributes);

}  // namespace gsnet
