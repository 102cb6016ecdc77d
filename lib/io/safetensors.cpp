#include "io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "core/error.h"
#include "io/file.h"
#include "io/safetensors_header.h"

namespace gsnet::io {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

constexpr uint64_t kPrefix = 8;
constexpr uint64_t kLargestHeader = 100'000'000;

std::string read_header_text(const InputFile& file) {
  GSNET_CHECK(file.size() >= kPrefix, fmt::format("the file has {} bytes, expected at least {}", file.size(), kPrefix));
  uint64_t length = 0;
  file.read_at(0, &length, kPrefix);
  const uint64_t most = std::min(kLargestHeader, file.size() - kPrefix);
  GSNET_CHECK(length <= most,
              fmt::format("the header's length is given as {} bytes, expected at most {}", length, most));
  std::string text(static_cast<size_t>(length), '\0');
  file.read_at(kPrefix, text.data(), text.size());
  return text;
}

TensorFile read_checked(const InputFile& file) {
  const std::string text = read_header_text(file);
  const uint64_t start = kPrefix + text.size();
  Header header = parse_header(text);
  check_coverage(header, file.size() - start);
  TensorFile content;
  content.metadata = std::move(header.metadata);
  content.tensors.reserve(header.entries.size());
  for (HeaderEntry& entry : header.entries) {
    Tensor tensor = Tensor::empty(entry.shape, entry.dtype);
    file.read_at(start + entry.begin, tensor.raw(), tensor.bytes());
    content.tensors.emplace_back(std::move(entry.name), std::move(tensor));
  }
  return content;
}

Header header_of(const TensorFile& file) {
  Header header;
  header.metadata = file.metadata;
  std::unordered_set<std::string> names = {"__metadata__"};
  uint64_t offset = 0;
  for (const auto& [name, tensor] : file.tensors) {
    GSNET_CHECK(names.insert(name).second, fmt::format("two tensors are named '{}'", shown(name)));
    GSNET_CHECK(tensor && tensor.device().kind == DeviceKind::host,
                fmt::format("tensor '{}' is not in the host's memory", shown(name)));
    header.entries.push_back({name, tensor.dtype(), tensor.shape(), offset, offset + tensor.bytes()});
    offset += tensor.bytes();
  }
  return header;
}

}  // namespace

const Tensor* TensorFile::find(const std::string& name) const {
  const auto found = std::ranges::find(tensors, name, &std::pair<std::string, Tensor>::first);
  return found == tensors.end() ? nullptr : &found->second;
}

const Tensor& TensorFile::at(const std::string& name) const {
  const Tensor* tensor = find(name);
  GSNET_CHECK(tensor != nullptr, fmt::format("there is no tensor '{}'", name));
  return *tensor;
}

TensorFile read_safetensors(const std::filesystem::path& path) {
  const InputFile file(path);
  try {
    return read_checked(file);
  } catch (const Error& error) {
    throw Error(fmt::format("'{}' is no safetensors file that can be read: {}", file.name(), error.what()));
  }
}

void write_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  std::string text;
  try {
    text = format_header(header_of(file));
  } catch (const Error& error) {
    throw Error(fmt::format("cannot write '{}': {}", path.string(), error.what()));
  }
  GSNET_CHECK(text.size() <= kLargestHeader,
              fmt::format("cannot write '{}': the header takes {} bytes, expected at most {}", path.string(),
                          text.size(), kLargestHeader));
  AtomicFile out(path);
  const uint64_t length = text.size();
  out.write(&length, kPrefix);
  out.write(text.data(), text.size());
  for (const auto& [name, tensor] : file.tensors) {
    const Tensor rows = tensor.layout() == Layout::row_major ? tensor : with_layout(tensor, Layout::row_major);
    out.write(rows.raw(), rows.bytes());
  }
  out.commit();
}

}  // namespace gsnet::io
