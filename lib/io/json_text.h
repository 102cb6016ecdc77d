// JSON texts of modest size, read strictly. Included by .cpp files only: the JSON library stays out of public headers.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gsnet::io {

/// Throws Error, beginning with `what`, for text that does not parse, nests deeper than 16, has more than 256 keys in
/// an object, or has a key twice in one.
nlohmann::ordered_json parse_json(std::string_view text, const std::string& what);

/// The text, finite numbers written so that they read back alike. Throws Error for texts that are not UTF-8.
std::string dump_json(const nlohmann::ordered_json& value, const std::string& what);

}  // namespace gsnet::io
