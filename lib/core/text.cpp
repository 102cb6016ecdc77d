#include "core/text.h"

#include <fmt/format.h>

namespace gsnet {

std::string shown(std::string_view name) {
  constexpr size_t kLongest = 80;
  std::string text(name.substr(0, kLongest));
  for (char& letter : text) {
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F) letter = '?';
  }
  return name.size() > kLongest ? text + "…" : text;
}

}  // namespace gsnet
