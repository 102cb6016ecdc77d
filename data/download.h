// One file over HTTP, continued where an earlier try stopped.
#pragma once

#include <filesystem>

#include "data/fetch.h"

namespace gsnet::data {

/// Appends to `part` what is missing of the file (a server that cannot continue is asked for the whole). Throws Error
/// naming the URL and the reason; what came so far stays for the next try.
void download(const RemoteFile& file, const std::filesystem::path& part, const FetchProgress& progress);

}  // namespace gsnet::data
