#include "layers/settings.h"

#include <fmt/format.h>

#include "core/error.h"

namespace gsnet {

std::array<int64_t, 2> pair_setting(const Attributes& attributes, std::string_view key, int64_t missing) {
  const AttributeValue* value = attributes.find(key);
  if (value == nullptr) return {missing, missing};
  if (const auto* one = std::get_if<int64_t>(value)) return {*one, *one};
  const std::vector<int64_t> both = attributes.integers(key);
  GSNET_CHECK(both.size() == 2, fmt::format("setting '{}' must be one integer or two, got {}", key, both.size()));
  return {both[0], both[1]};
}

std::array<int64_t, 4> padding_setting(const Attributes& attributes) {
  const AttributeValue* value = attributes.find("padding");
  if (value == nullptr) return {0, 0, 0, 0};
  if (const auto* one = std::get_if<int64_t>(value)) return {*one, *one, *one, *one};
  const std::vector<int64_t> sides = attributes.integers("padding");
  GSNET_CHECK(sides.size() == 2 || sides.size() == 4,
              fmt::format("setting 'padding' must be one, two or four integers, got {}", sides.size()));
  if (sides.size() == 2) return {sides[0], sides[1], sides[0], sides[1]};
  return {sides[0], sides[1], sides[2], sides[3]};
}

}  // namespace gsnet
