#include "io/json_text.h"

#include <fmt/format.h>

#include <unordered_set>
#include <vector>

#include "core/error.h"
#include "io/safetensors_header.h"

namespace gsnet::io {

using nlohmann::ordered_json;

nlohmann::ordered_json parse_json(std::string_view text, const std::string& what) {
  constexpr int kDeepest = 16;
  constexpr size_t kMostKeys = 256;  // an ordered object is searched from its start
  std::vector<std::unordered_set<std::string>> keys;
  const auto watch = [&](int depth, ordered_json::parse_event_t event, ordered_json& parsed) {
    using Event = ordered_json::parse_event_t;
    GSNET_CHECK(depth <= kDeepest, fmt::format("{} nests deeper than {}", what, kDeepest));
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      GSNET_CHECK(keys.back().insert(key).second, fmt::format("{} has '{}' twice in one object", what, shown(key)));
      GSNET_CHECK(keys.back().size() <= kMostKeys,
                  fmt::format("{} has more than {} keys in one object", what, kMostKeys));
    }
    return true;
  };
  try {
    return ordered_json::parse(text.begin(), text.end(), watch);
  } catch (const ordered_json::parse_error& error) {
    throw Error(fmt::format("{} does not parse as JSON at byte {}", what, error.byte));
  } catch (const ordered_json::exception&) {
    throw Error(fmt::format("{} has a number too large for 64 bits", what));
  }
}

std::string dump_json(const nlohmann::ordered_json& value, const std::string& what) {
  try {
    return value.dump();
  } catch (const ordered_json::exception&) {
    throw Error(fmt::format("{} holds a text that is not UTF-8", what));
  }
}

}  // namespace gsnet::io
