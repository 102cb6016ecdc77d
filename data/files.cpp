#include "data/files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <system_error>

#include "core/error.h"

namespace gsnet::data {

int64_t file_bytes(const std::filesystem::path& path) {
  std::error_code failure;
  const bool regular = std::filesystem::is_regular_file(path, failure);
  GSNET_CHECK(regular, fmt::format("{}: expected a file, found {}", path.string(),
                                   std::filesystem::exists(path, failure) ? "something else" : "nothing"));
  const auto bytes = std::filesystem::file_size(path, failure);
  GSNET_CHECK(!failure, fmt::format("{}: cannot ask for its size: {}", path.string(), failure.message()));
  return static_cast<int64_t>(bytes);
}

std::vector<uint8_t> read_file(const std::filesystem::path& path, int64_t limit) {
  const int64_t bytes = file_bytes(path);
  GSNET_CHECK(bytes <= limit, fmt::format("{}: {} bytes, at most {} are read", path.string(), bytes, limit));
  std::ifstream file(path, std::ios::binary);
  GSNET_CHECK(file.good(), fmt::format("{}: cannot be opened for reading", path.string()));
  std::vector<uint8_t> content(static_cast<size_t>(bytes));
  file.read(reinterpret_cast<char*>(content.data()), bytes);
  GSNET_CHECK(file.gcount() == bytes,
              fmt::format("{}: reading stopped at offset {} of {}", path.string(), file.gcount(), bytes));
  return content;
}

std::vector<std::string> read_lines(const std::filesystem::path& path, int64_t limit) {
  std::vector<std::string> texts;
  for (NumberedLine& line : numbered_lines(path, limit)) texts.push_back(std::move(line.text));
  return texts;
}

std::vector<NumberedLine> numbered_lines(const std::filesystem::path& path, int64_t limit) {
  const std::vector<uint8_t> content = read_file(path, limit);
  constexpr std::array<uint8_t, 3> kByteOrderMark = {0xEF, 0xBB, 0xBF};
  std::vector<NumberedLine> lines;
  int64_t number = 0;
  const bool marked = content.size() >= 3 && std::equal(kByteOrderMark.begin(), kByteOrderMark.end(), content.begin());
  for (auto at = content.begin() + (marked ? 3 : 0); at != content.end();) {
    const auto end = std::find(at, content.end(), uint8_t{'\n'});
    std::string line(at, end);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    ++number;
    if (!line.empty()) lines.push_back({number, std::move(line)});
    at = end == content.end() ? end : end + 1;
  }
  return lines;
}

std::vector<std::string> file_names(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code failure;
  for (std::filesystem::directory_iterator at(folder, failure), end; !failure && at != end; at.increment(failure)) {
    std::error_code unreadable;
    if (at->is_regular_file(unreadable)) names.push_back(at->path().filename().string());
  }
  GSNET_CHECK(!failure, fmt::format("{}: the folder cannot be listed: {}", folder.string(), failure.message()));
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  return names;
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

void check_index(std::string_view what, int64_t i, int64_t size) {
  GSNET_CHECK(i >= 0 && i < size, fmt::format("{}: picture {} was asked for, there are {}", what, i, size));
}

void check_read(std::string_view what, int64_t i, int64_t size, const PictureShape& shape, std::span<uint8_t> pixels) {
  check_index(what, i, size);
  GSNET_CHECK(static_cast<int64_t>(pixels.size()) == shape.numel(),
              fmt::format("{}: a picture has {} bytes, the span given has {}", what, shape.numel(), pixels.size()));
}

}  // namespace gsnet::data
