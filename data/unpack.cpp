#include "data/unpack.h"

#include <fmt/format.h>

#include <fstream>
#include <system_error>
#include <vector>

#include "core/error.h"
#include "data/archive.h"

namespace gsnet::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostBytes = int64_t{16} << 30;

bool is_there(const fs::path& target, int64_t bytes) {
  std::error_code failure;
  return fs::is_regular_file(target, failure) && static_cast<int64_t>(fs::file_size(target, failure)) == bytes;
}

/// Under a temporary name first: a file of the right name is whole.
void write_member(TarReader& reader, const fs::path& target) {
  const fs::path part = target.string() + ".part";
  std::ofstream out(part, std::ios::binary | std::ios::trunc);
  std::vector<uint8_t> piece(size_t{1} << 20U);
  int64_t written = 0;
  for (size_t got = reader.read(piece); got > 0 && out; got = reader.read(piece)) {
    out.write(reinterpret_cast<const char*>(piece.data()), static_cast<std::streamsize>(got));
    written += static_cast<int64_t>(got);
  }
  out.close();
  GSNET_CHECK(out.good(), fmt::format("{}: cannot be written", part.string()));
  GSNET_CHECK(written == reader.bytes(),
              fmt::format("{}: {} bytes came, the archive announces {}", part.string(), written, reader.bytes()));
  fs::rename(part, target);
}

void unpack_member(TarReader& reader, const fs::path& target) {
  if (reader.kind() == MemberKind::folder) {
    fs::create_directories(target);
    return;
  }
  if (is_there(target, reader.bytes())) return;
  fs::create_directories(target.parent_path());
  write_member(reader, target);
}

}  // namespace

void unpack_tar(const fs::path& archive, const fs::path& folder) {
  TarReader reader(archive);
  int64_t left = kMostBytes;
  while (reader.next()) {
    const std::string& member = reader.member();
    GSNET_CHECK(is_safe_member_path(member),
                fmt::format("{}: member '{}' would be put outside of the folder; refused", archive.string(), member));
    GSNET_CHECK(
        reader.kind() == MemberKind::file || reader.kind() == MemberKind::folder,
        fmt::format("{}: member '{}' is a link or a device, expected files and folders", archive.string(), member));
    GSNET_CHECK(reader.bytes() <= left,
                fmt::format("{}: more than {} bytes in all at member '{}'", archive.string(), kMostBytes, member));
    left -= reader.bytes();
    try {
      unpack_member(reader, folder / member);
    } catch (const fs::filesystem_error& failure) {
      throw Error(fmt::format("{}: member '{}' cannot be put in place: {}", archive.string(), member, failure.what()));
    }
  }
}

}  // namespace gsnet::data
