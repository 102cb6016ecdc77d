// Digests of files.
#pragma once

#include <filesystem>
#include <string>

namespace gsnet::data {

/// Throws Error unless `digest` is "sha256:" or "md5:" and as many lower-case hexadecimal digits as belong to it.
void check_digest_form(const std::string& digest);

/// Digest of the file in the form, and by the algorithm, of `like`.
std::string digest_of(const std::filesystem::path& file, const std::string& like);

}  // namespace gsnet::data
