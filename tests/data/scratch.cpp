#include "scratch.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <zlib.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace gsnet::data {
namespace {

std::string big_endian(uint32_t value) {
  std::string bytes;
  for (unsigned shift : {24U, 16U, 8U, 0U}) bytes += static_cast<char>(value >> shift & 255U);
  return bytes;
}

std::string chunk(const std::string& kind, const std::string& content) {
  const std::string body = kind + content;
  const auto crc = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big_endian(static_cast<uint32_t>(content.size())) + body + big_endian(static_cast<uint32_t>(crc));
}

std::string rows_of(int width, int height, const std::string& before_row, int red, int green, int blue) {
  std::string rows;
  for (int y = 0; y < height; ++y) {
    rows += before_row;
    for (int x = 0; x < width; ++x) {
      for (int value : {red, green, blue}) rows += static_cast<char>(value);
    }
  }
  return rows;
}

void add_member(archive* to, const TarMember& member) {
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname(entry, member.path.c_str());
  archive_entry_set_perm(entry, 0644);
  archive_entry_set_filetype(entry, member.link_to.empty() ? AE_IFREG : AE_IFLNK);
  if (!member.link_to.empty()) archive_entry_set_symlink(entry, member.link_to.c_str());
  archive_entry_set_size(entry, static_cast<la_int64_t>(member.content.size()));
  archive_write_header(to, entry);
  archive_write_data(to, member.content.data(), member.content.size());
  archive_entry_free(entry);
}

}  // namespace

Scratch::Scratch() {
  std::string name = (std::filesystem::temp_directory_path() / "gsnet_test_XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder can be made");
  path_ = name;
}

Scratch::~Scratch() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path Scratch::write(std::string_view name, std::string_view content) const {
  const std::filesystem::path file = path_ / name;
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
  return file;
}

std::string content_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::string tar_of(const std::vector<TarMember>& members, bool gzipped) {
  std::string bytes(size_t{1} << 20U, '\0');
  size_t used = 0;
  archive* to = archive_write_new();
  archive_write_set_format_pax_restricted(to);
  if (gzipped) archive_write_add_filter_gzip(to);
  archive_write_open_memory(to, bytes.data(), bytes.size(), &used);
  for (const TarMember& member : members) add_member(to, member);
  archive_write_close(to);
  archive_write_free(to);
  bytes.resize(used);
  return bytes;
}

std::string gzip_of(std::string_view content) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string ppm_of(int width, int height, int red, int green, int blue) {
  return "P6\n" + std::to_string(width) + " " + std::to_string(height) + "\n255\n" +
         rows_of(width, height, "", red, green, blue);
}

std::string png_of(int width, int height, int red, int green, int blue) {
  const std::string rows = rows_of(width, height, std::string(1, '\0'), red, green, blue);
  std::string packed(compressBound(rows.size()), '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(rows.data()), rows.size());
  packed.resize(size);
  const std::string header = big_endian(static_cast<uint32_t>(width)) + big_endian(static_cast<uint32_t>(height)) +
                             std::string("\x08\x02\0\0\0", 5);
  return "\x89PNG\r\n\x1A\n" + chunk("IHDR", header) + chunk("IDAT", packed) + chunk("IEND", "");
}

std::filesystem::path shared_data() {
  const char* named = std::getenv("GSNET_SHARED");
  const std::filesystem::path folder = named != nullptr ? named : "../shared/data";
  return std::filesystem::is_directory(folder / "cifar10") ? folder : std::filesystem::path();
}

}  // namespace gsnet::data
