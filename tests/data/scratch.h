// A temporary folder and the small files that the tests of data/ put into it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gsnet::data {

/// A new empty folder that goes with the object.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  /// Writes a file, with the folders above it.
  std::filesystem::path write(std::string_view name, std::string_view content) const;

 private:
  std::filesystem::path path_;
};

std::string content_of(const std::filesystem::path& file);

struct TarMember {
  std::string path;
  std::string content;
  std::string link_to = {};  ///< a symbolic link, if not empty
};
std::string tar_of(const std::vector<TarMember>& members, bool gzipped);
std::string gzip_of(std::string_view content);

/// A picture of one colour as binary PPM, and as PNG.
std::string ppm_of(int width, int height, int red, int green, int blue);
std::string png_of(int width, int height, int red, int green, int blue);

/// Folder with the project's real data, from GSNET_SHARED or ../shared/data; empty when there is none.
std::filesystem::path shared_data();

}  // namespace gsnet::data
