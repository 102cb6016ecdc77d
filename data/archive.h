// Tar archives, gzipped or not, read member by member.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

struct archive;
struct archive_entry;
struct gzFile_s;

namespace gsnet::data {

enum class MemberKind : uint8_t { file, folder, link, other };

class TarReader {
 public:
  /// Throws Error naming the file when it cannot be read as a tar archive.
  explicit TarReader(const std::filesystem::path& path);

  /// Goes to the next member; false after the last. Throws Error for a damaged or truncated archive, and where the
  /// checksum of a gzipped one is wrong, which shows after the last member.
  bool next();

  /// Of the current member. The path is what the archive says: hostile until is_safe_member_path has said otherwise.
  const std::string& member() const { return member_; }
  MemberKind kind() const;
  int64_t bytes() const;
  /// Of a link, hard or symbolic: the member it leads to, "." and ".." worked in; hostile as member() is.
  std::string target() const;

  /// The next bytes of the current member; 0 after its last.
  size_t read(std::span<uint8_t> piece);
  /// All bytes of the current member; Error when it has more than `limit`.
  std::vector<uint8_t> read_all(int64_t limit);

 private:
  struct Close {
    void operator()(archive* handle) const;
  };
  struct CloseGzip {
    void operator()(gzFile_s* file) const;
  };
  struct Source {
    std::unique_ptr<gzFile_s, CloseGzip> file;
    std::vector<uint8_t> block;
  };
  static std::ptrdiff_t refill(archive* handle, void* source, const void** block);
  [[noreturn]] void fail() const;
  /// Reads what follows the last member: the checksum comes last.
  void drain();

  std::string name_;
  std::unique_ptr<Source> source_;
  std::unique_ptr<archive, Close> archive_;
  archive_entry* entry_ = nullptr;  // the archive's
  std::string member_;
};

/// Relative, without "..", not empty: a path that stays below the folder it is put in.
bool is_safe_member_path(const std::string& member);

}  // namespace gsnet::data
