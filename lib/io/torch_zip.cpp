#include "io/torch_zip.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <new>

#include "core/error.h"
#include "io/safetensors_header.h"

namespace gsnet::io {
namespace {

constexpr size_t kBlock = size_t{1} << 16U;

std::string path_of(archive_entry* entry) {
  if (const char* path = archive_entry_pathname(entry)) return path;
  if (const char* path = archive_entry_pathname_utf8(entry)) return path;  // not expressible in the process's locale
  return {};
}

}  // namespace

void ZipReader::Close::operator()(archive* handle) const { archive_read_free(handle); }

void ZipReader::fail() const {
  const char* reason = archive_error_string(archive_.get());
  throw Error(fmt::format("the zip archive is damaged{}: {}",
                          member_.empty() ? std::string() : fmt::format(" at '{}'", shown(member_)),
                          reason != nullptr ? reason : "no reason given"));
}

ZipReader::ZipReader(const std::filesystem::path& path) : archive_(archive_read_new()) {
  if (!archive_) throw std::bad_alloc();
  archive_read_support_format_zip_seekable(archive_.get());
  if (archive_read_open_filename(archive_.get(), path.c_str(), kBlock) != ARCHIVE_OK) fail();
}

bool ZipReader::next() {
  const int code = archive_read_next_header(archive_.get(), &entry_);
  if (code == ARCHIVE_EOF) return false;
  if (code != ARCHIVE_OK && code != ARCHIVE_WARN) fail();
  member_ = path_of(entry_);
  GSNET_CHECK(archive_entry_size_is_set(entry_) != 0 && archive_entry_size(entry_) >= 0,
              fmt::format("the zip archive does not say how long '{}' is", shown(member_)));
  return true;
}

uint64_t ZipReader::bytes() const { return static_cast<uint64_t>(archive_entry_size(entry_)); }

void ZipReader::read(std::span<std::byte> to) {
  GSNET_CHECK(to.size() == bytes(),
              fmt::format("member '{}' has {} bytes, expected {}", shown(member_), bytes(), to.size()));
  size_t done = 0;
  for (;;) {
    std::byte beyond{};
    const auto rest = done < to.size() ? to.subspan(done) : std::span(&beyond, 1);
    const auto got = archive_read_data(archive_.get(), rest.data(), rest.size());
    if (got < 0) fail();
    if (got == 0) break;
    GSNET_CHECK(done < to.size(),
                fmt::format("member '{}' is longer than the {} bytes that the archive's directory says", shown(member_),
                            to.size()));
    done += static_cast<size_t>(got);
  }
  GSNET_CHECK(done == to.size(),
              fmt::format("member '{}' ends at byte {}, expected {} bytes", shown(member_), done, to.size()));
}

}  // namespace gsnet::io
