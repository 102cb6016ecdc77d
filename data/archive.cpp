#include "data/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <algorithm>
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

}  // namespace

void TarReader::Close::operator()(archive* handle) const { archive_read_free(handle); }

void TarReader::fail() const {
  const char* reason = archive_error_string(archive_.get());
  throw Error(fmt::format("{}: damaged or not a tar archive at offset {} (after member '{}'): {}", name_,
                          archive_filter_bytes(archive_.get(), -1), member_, reason ? reason : "no reason given"));
}

TarReader::TarReader(const std::filesystem::path& path) : name_(path.string()), archive_(archive_read_new()) {
  if (!archive_) throw std::bad_alloc();
  archive_read_support_format_tar(archive_.get());
  archive_read_support_filter_gzip(archive_.get());
  if (archive_read_open_filename(archive_.get(), path.c_str(), kBlock) != ARCHIVE_OK) fail();
}

bool TarReader::next() {
  const int code = archive_read_next_header(archive_.get(), &entry_);
  if (code == ARCHIVE_EOF) return false;
  if (code != ARCHIVE_OK && code != ARCHIVE_WARN) fail();
  member_ = path_of(entry_);
  GSNET_CHECK(bytes() >= 0, fmt::format("{}: member '{}' has size {}", name_, member_, bytes()));
  return true;
}

MemberKind TarReader::kind() const {
  if (archive_entry_hardlink(entry_) != nullptr) return MemberKind::other;
  const auto type = archive_entry_filetype(entry_);
  return type == AE_IFREG ? MemberKind::file : type == AE_IFDIR ? MemberKind::folder : MemberKind::other;
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
