#include "io/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <deque>
#include <system_error>

#include "core/error.h"
#include "io/safetensors.h"

namespace gsnet::io {
namespace {

constexpr size_t kLargestTransfer = size_t{1} << 30;  // Linux moves at most 2 GiB at a time

std::string reason_of(int code) { return std::generic_category().message(code); }

int open_again_if_interrupted(const std::filesystem::path& path, int flags, mode_t mode) {
  int descriptor = -1;
  do {
    descriptor = ::open(path.c_str(), flags, mode);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : name_(path.string()) {
  descriptor_ = open_again_if_interrupted(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  GSNET_CHECK(descriptor_ >= 0, fmt::format("cannot open '{}': {}", name_, reason_of(errno)));
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  if (known && S_ISREG(status.st_mode)) {
    size_ = static_cast<uint64_t>(status.st_size);
    return;
  }
  const std::string reason = known ? "it is not a regular file" : reason_of(errno);
  ::close(descriptor_);
  throw Error(fmt::format("cannot read '{}': {}", name_, reason));
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read_at(uint64_t offset, void* to, size_t bytes) const {
  auto* at = static_cast<char*>(to);
  size_t left = bytes;
  while (left > 0) {
    const ssize_t got = ::pread(descriptor_, at, std::min(left, kLargestTransfer), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    GSNET_CHECK(got >= 0, fmt::format("cannot read '{}' at byte {}: {}", name_, offset, reason_of(errno)));
    GSNET_CHECK(got > 0, fmt::format("'{}' ends at byte {}, expected {} bytes more", name_, offset, left));
    at += got;
    left -= static_cast<size_t>(got);
    offset += static_cast<uint64_t>(got);
  }
}

AtomicFile::AtomicFile(const std::filesystem::path& target) : target_(target), folder_(target.parent_path()) {
  if (folder_.empty()) folder_ = ".";
  GSNET_CHECK(target.has_filename(), fmt::format("cannot write '{}': it names no file", target.string()));
  std::error_code ignored;
  const auto kind = std::filesystem::status(target, ignored).type();
  const bool replaceable = kind == std::filesystem::file_type::regular ||
                           kind == std::filesystem::file_type::not_found || kind == std::filesystem::file_type::none;
  GSNET_CHECK(replaceable,
              fmt::format("cannot write '{}': there is something that is not a regular file", target.string()));
  static std::atomic<uint64_t> serial{0};
  do {
    temporary_ = folder_ / fmt::format(".gsnet-{}-{}.tmp", ::getpid(), serial++);
    descriptor_ = open_again_if_interrupted(temporary_, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail("write", errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* from, size_t bytes) {
  const auto* at = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t done = ::write(descriptor_, at, std::min(bytes, kLargestTransfer));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("write", errno);
    at += done;
    bytes -= static_cast<size_t>(done);
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail("flush", errno);
  const int descriptor = descriptor_;
  descriptor_ = -1;
  if (::close(descriptor) != 0) fail("close", errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("replace", errno);
  temporary_.clear();
  flush_folder();
}

void AtomicFile::flush_folder() const {
  const int descriptor = open_again_if_interrupted(folder_, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (descriptor < 0) fail("flush the folder of", errno);
  const int reason = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  const bool unsupported = reason == EINVAL || reason == ENOTSUP;  // some network file systems
  if (reason != 0 && !unsupported) fail("flush the folder of", reason);
}

void AtomicFile::fail(const char* what, int reason) const {
  throw Error(fmt::format("cannot {} '{}': {}", what, target_.string(), reason_of(reason)));
}

void write_together(const std::vector<std::pair<std::filesystem::path, std::string>>& files) {
  std::deque<AtomicFile> written;
  for (const auto& [path, bytes] : files) written.emplace_back(path).write(bytes.data(), bytes.size());
  for (AtomicFile& file : written) file.commit();
}

void require_writable(const std::filesystem::path& path) { const AtomicFile probe(path); }

void write_atomically(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

std::string read_text(const std::filesystem::path& path, size_t limit) {
  const InputFile file(path);
  GSNET_CHECK(file.size() <= limit,
              fmt::format("'{}' has {} bytes, expected at most {}", file.name(), file.size(), limit));
  std::string text(static_cast<size_t>(file.size()), '\0');
  file.read_at(0, text.data(), text.size());
  return text;
}

}  // namespace gsnet::io
