// Members of a tar archive to files.
#pragma once

#include <filesystem>

namespace gsnet::data {

/// Puts the members of an archive below `folder`; files already there with the right size are kept. Throws Error naming
/// archive and member for a path that leaves the folder, a link or a device, and for more than 16 GiB in all.
void unpack_tar(const std::filesystem::path& archive, const std::filesystem::path& folder);

}  // namespace gsnet::data
