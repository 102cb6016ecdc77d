// Names that come from files, in messages.
#pragma once

#include <string>
#include <string_view>

namespace gsnet {

/// A name for messages: at most 80 bytes, nothing that is not printable.
std::string shown(std::string_view name);

}  // namespace gsnet
