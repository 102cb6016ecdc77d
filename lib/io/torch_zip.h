// The zip archives that torch.save writes, through libarchive.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

struct archive;
struct archive_entry;

namespace gsnet::io {

/// Members one after the other, stored or deflated. Errors name the member, not the file.
class ZipReader {
 public:
  /// Throws Error when the file is no zip archive.
  explicit ZipReader(const std::filesystem::path& path);

  /// The next member; false at the end. Throws Error for a damaged archive.
  bool next();
  const std::string& member() const { return member_; }
  /// Unpacked, as the archive's directory says.
  uint64_t bytes() const;
  /// The whole content. Throws Error unless it is exactly as long as `to` and its checksum is right.
  void read(std::span<std::byte> to);

 private:
  struct Close {
    void operator()(archive* handle) const;
  };
  [[noreturn]] void fail() const;

  std::unique_ptr<archive, Close> archive_;
  archive_entry* entry_ = nullptr;
  std::string member_;
};

}  // namespace gsnet::io
