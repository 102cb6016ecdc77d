// Files with checked system calls: one that is read, one that replaces another in one step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace gsnet::io {

/// A regular file, open for reading. Errors name the file and the system's reason.
class InputFile {
 public:
  /// Throws Error when it cannot be opened or is a folder, a pipe or a device.
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& name() const { return name_; }
  /// Bytes, when it was opened.
  uint64_t size() const { return size_; }
  /// Throws Error when there are fewer bytes than asked for.
  void read_at(uint64_t offset, void* to, size_t bytes) const;

 private:
  std::string name_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

/// A new file under a temporary name in the target's folder. commit() flushes it to the disk and renames it to the
/// target; a file that is not committed is removed.
class AtomicFile {
 public:
  /// Throws Error when the folder cannot be written or the target exists and is not a regular file.
  explicit AtomicFile(const std::filesystem::path& target);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* from, size_t bytes);
  void commit();

 private:
  void flush_folder() const;
  [[noreturn]] void fail(const char* what, int reason) const;

  std::filesystem::path target_, folder_, temporary_;
  int descriptor_ = -1;
};

/// Files that belong together, given with their bytes: the first is replaced when all have been written beside their
/// targets, so that a full disk leaves all old ones.
void write_together(const std::vector<std::pair<std::filesystem::path, std::string>>& files);

/// Throws the error that writing this file would end with, as far as that is known before; leaves nothing behind.
void require_writable(const std::filesystem::path& path);

}  // namespace gsnet::io
