// Tar archives, gzipped or not, read member by member.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

struct archive;
struct archive_entry;

namespace gsnet::data {

enum class MemberKind : uint8_t { file, folder, other };

class TarReader {
 public:
  /// Throws Error naming the file when it cannot be read as a tar archive.
  explicit TarReader(const std::filesystem::path& path);

  /// Goes to the next member; false after the last. Throws Error for a damaged or truncated archive.
  bool next();

  /// Of the current member. The path is what the archive says: hostile until is_safe_member_path has said otherwise.
  const std::string& member() const { return member_; }
  MemberKind kind() const;
  int64_t bytes() const;

  /// The next bytes of the current member; 0 after its last.
  size_t read(std::span<uint8_t> piece);
  /// All bytes of the current member; Error when it has more than `limit`.
  std::vector<uint8_t> read_all(int64_t limit);

 private:
  struct Close {
    void operator()(archive* handle) const;
  };
  [[noreturn]] void fail() const;

  std::string name_;
  std::unique_ptr<archive, Close> archive_;
  archive_entry* entry_ = nullptr;  // the archive's
  std::string member_;
};

/// Relative, without "..", not empty: a path that stays below the folder it is put in.
bool is_safe_member_path(const std::string& member);

}  // namespace gsnet::data
