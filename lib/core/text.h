// Names that come from files, in messages.
#pragma once

#include <string>
#include <string_view>

namespace gsnet {

/// A name for messages: at most 80 bytes, nothing that is not printable.
std::string shown(std::string_view name);

/// The text where it is UTF-8; U+FFFD in place of every byte that does not belong there.
std::string as_utf8(std::string_view text);

}  // namespace gsnet
