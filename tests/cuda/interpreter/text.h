// Pieces of PTX's text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gsnet::ptx {

/// Of a name, or of an instruction's.
bool is_name(char c);
std::string_view trimmed(std::string_view text);
/// Parts between commas outside of braces and brackets.
std::vector<std::string_view> parts_of(std::string_view text);
std::vector<std::string_view> words_of(std::string_view text);
/// "-8", "0x10", "0f3F800000" (its bits).
std::optional<uint64_t> number_of(std::string_view text);
/// Bytes of a type's number: ".f32"; 0 for ".pred".
int bytes_of(std::string_view type);

/// A variable's declaration, from its type on: ".align 8 .b8 name[24]".
struct Variable {
  std::string name;
  int alignment = 1, bytes = 0;
};
Variable variable_of(std::string_view text);
/// Where it lies among others, of `total` bytes so far.
int place(int& total, const Variable& variable);

}  // namespace gsnet::ptx
