#include "data/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "core/error.h"

namespace gsnet::data {
namespace {

constexpr size_t kBlock = size_t{1} << 16U;

std::string path_of(archive_entry* entry) {
  if (const char* path = archive_entry_pathname(entry)) return path;
  if (const char* path = archive_entry_pathname_utf8(entry)) return path;  // not expressible in the process's locale
  return {};
}

/// "./A/1.ppm" is A/1.ppm.
std::string normal(const std::string& path) { return std::filesystem::path(path).lexically_normal().string(); }

}  // namespace

void TarReader::Close::operator()(archive* handle) const { archive_read_free(handle); }

void TarReader::fail() const {
  const char* reason = archive_error_string(archive_.get());
  throw Error(fmt::format("{}: damaged or not a tar archive at offset {} (after member '{}'): {}", name_,
                          archive_filter_bytes(archive_.get(), -1), member_, reason ? reason : "no reason given"));
}

void TarReader::CloseGzip::operator()(gzFile_s* file) const { gzclose(file); }

// zlib undoes gzip, and passes on what is not gzipped: libarchive would not look at the checksum.
std::ptrdiff_t TarReader::refill(archive* handle, void* source, const void** block) {
  auto& from = *static_cast<Source*>(source);
  const int got = gzread(from.file.get(), from.block.data(), static_cast<unsigned>(from.block.size()));
  if (got < 0) {
    int code = 0;
    archive_set_error(handle, EIO, "%s", gzerror(from.file.get(), &code));
    return -1;
  }
  *block = from.block.data();
  return got;
}

TarReader::TarReader(const std::filesystem::path& path)
    : name_(path.string()), source_(std::make_unique<Source>()), archive_(archive_read_new()) {
  if (!archive_) throw std::bad_alloc();
  source_->file.reset(gzopen(path.c_str(), "rb"));
  GSNET_CHECK(source_->file != nullptr, fmt::format("{}: cannot be opened for reading", name_));
  source_->block.resize(kBlock);
  archive_read_support_format_tar(archive_.get());
  if (archive_read_open(archive_.get(), source_.get(), nullptr, refill, nullptr) != ARCHIVE_OK) fail();
}

void TarReader::drain() {
  const void* rest = nullptr;
  std::ptrdiff_t got = 0;
  do {
    got = refill(archive_.get(), source_.get(), &rest);
  } while (got > 0);
  if (got < 0) fail();
}

bool TarReader::next() {
  const int code = archive_read_next_header(archive_.get(), &entry_);
  if (code == ARCHIVE_EOF) {
    drain();
    return false;
  }
  if (code != ARCHIVE_OK && code != ARCHIVE_WARN) fail();
  member_ = normal(path_of(entry_));
  GSNET_CHECK(bytes() >= 0, fmt::format("{}: member '{}' has size {}", name_, member_, bytes()));
  return true;
}

MemberKind TarReader::kind() const {
  const auto type = archive_entry_filetype(entry_);
  if (archive_entry_hardlink(entry_) != nullptr || type == AE_IFLNK) return MemberKind::link;
  return type == AE_IFREG ? MemberKind::file : type == AE_IFDIR ? MemberKind::folder : MemberKind::other;
}

std::string TarReader::target() const {
  if (const char* path = archive_entry_hardlink(entry_)) return normal(path);
  const char* path = archive_entry_symlink(entry_);
  if (path == nullptr) return {};
  return (std::filesystem::path(member_).parent_path() / path).lexically_normal().string();
}

int64_t TarReader::bytes() const { return archive_entry_size(entry_); }

size_t TarReader::read(std::span<uint8_t> piece) {
  const auto got = archive_read_data(archive_.get(), piece.data(), piece.size());
  if (got < 0) fail();
  return static_cast<size_t>(got);
}

std::vector<uint8_t> TarReader::read_all(int64_t limit) {
  GSNET_CHECK(bytes() <= limit,
              fmt::format("{}: member '{}' has {} bytes, at most {} are read", name_, member_, bytes(), limit));
  std::vector<uint8_t> content(static_cast<size_t>(bytes()));
  size_t done = 0;
  while (done < content.size()) {
    const size_t got = read(std::span(content).subspan(done));
    GSNET_CHECK(got > 0, fmt::format("{}: member '{}' ends at {}, expected {} bytes", name_, member_, done, bytes()));
    done += got;
  }
  return content;
}

bool is_safe_member_path(const std::string& member) {
  const std::filesystem::path path(member);
  if (path.empty() || path.is_absolute() || member.find('\0') != std::string::npos) return false;
  return std::none_of(path.begin(), path.end(), [](const auto& part) { return part == ".."; });
}

}  // namespace gsnet::data
