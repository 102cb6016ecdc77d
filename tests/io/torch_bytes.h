// Torch files byte by byte: pickles opcode for opcode, the stream around them, zip archives.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace gsnet::test {

inline std::string little(uint64_t value, size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(value >> (8 * i));
  return text;
}

inline std::string proto(const std::string& body) { return std::string("\x80\x02") + body + "."; }
inline std::string text(const std::string& value) { return "X" + little(value.size(), 4) + value; }
inline std::string integer(int64_t value) { return "\x8a\x08" + little(static_cast<uint64_t>(value), 8); }
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string tuple(std::initializer_list<std::string> parts) {
  std::string all = "(";
  for (const std::string& part : parts) all += part;
  return all + "t";
}
inline std::string integers(std::initializer_list<int64_t> values) {
  std::string all = "(";
  for (const int64_t value : values) all += integer(value);
  return all + "t";
}
inline std::string storage(const std::string& key, int64_t numel, const std::string& type = "FloatStorage") {
  return tuple({text("storage"), global("torch", type), text(key), text("cpu"), integer(numel)}) + "Q";
}
inline std::string tensor(const std::string& from, int64_t offset, std::initializer_list<int64_t> size,
                          std::initializer_list<int64_t> stride) {
  return global("torch._utils", "_rebuild_tensor_v2") +
         tuple({from, integer(offset), integers(size), integers(stride), "\x89", "N"}) + "R";
}
inline std::string dict(std::initializer_list<std::pair<std::string, std::string>> entries) {
  std::string all = "}(";
  for (const auto& [key, value] : entries) all += text(key) + value;
  return all + "u";
}

/// The stream of torch.save before 1.6: magic number, protocol, machine, content, keys, storages.
inline std::string stream(const std::string& content, const std::vector<std::pair<std::string, std::string>>& storages,
                          const std::string& little_endian = "\x88", size_t element = 4) {
  std::string keys = "](", data;
  for (const auto& [key, numbers] : storages) {
    keys += text(key);
    data += little(numbers.size() / element, 8) + numbers;
  }
  return proto(std::string("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")) + proto(integer(1001)) +
         proto(dict({{"protocol_version", integer(1001)}, {"little_endian", little_endian}})) + proto(content) +
         proto(keys + "e") + data;
}

/// A zip archive with these members.
inline void write_zip(const std::filesystem::path& path,
                      const std::vector<std::pair<std::string, std::string>>& members, bool deflated = false) {
  archive* out = archive_write_new();
  archive_write_set_format_zip(out);
  if (deflated) {
    archive_write_zip_set_compression_deflate(out);
  } else {
    archive_write_zip_set_compression_store(out);
  }
  bool fine = archive_write_open_filename(out, path.c_str()) == ARCHIVE_OK;
  for (const auto& [name, content] : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, static_cast<int64_t>(content.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    fine = fine && archive_write_header(out, entry) == ARCHIVE_OK &&
           archive_write_data(out, content.data(), content.size()) == static_cast<la_ssize_t>(content.size());
    archive_entry_free(entry);
  }
  fine = archive_write_close(out) == ARCHIVE_OK && fine;
  archive_write_free(out);
  if (!fine) throw std::runtime_error("cannot write " + path.string());
}

/// The bytes of numbers.
template <class T>
std::string raw(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T)};
}

}  // namespace gsnet::test
