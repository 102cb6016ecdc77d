// Where golden vectors and real data are, when they are there.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>

namespace gsnet::test {

/// GSNET_SHARED, or ../shared beside the project; nothing when it is missing.
inline std::optional<std::filesystem::path> shared_folder() {
  const char* named = std::getenv("GSNET_SHARED");
  const std::filesystem::path folder = named != nullptr ? std::filesystem::path(named) : GSNET_SOURCE_DIR "/../shared";
  if (std::filesystem::is_directory(folder)) return folder;
  return std::nullopt;
}

}  // namespace gsnet::test

/// Leaves the test case, saying so, when the folder is missing.
#define GSNET_NEED_SHARED(name)                                   \
  const auto found_##name = ::gsnet::test::shared_folder();       \
  if (!found_##name) {                                            \
    WARN("skipped: the shared folder with real data is missing"); \
    return;                                                       \
  }                                                               \
  const std::filesystem::path name = *found_##name
