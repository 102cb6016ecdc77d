#include "io/torch_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "core/error.h"
#include "io/file.h"
#include "io/safetensors_header.h"
#include "io/torch_tensors.h"
#include "io/torch_zip.h"

namespace gsnet::io {
namespace {

using Kind = PickleValue::Kind;

constexpr uint64_t kLargestPickle = uint64_t{64} << 20U;
constexpr uint64_t kMostUnpacked = 64;  // times the file's size
constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr int64_t kProtocol = 1001;

std::string beginning(const InputFile& file, uint64_t most) {
  std::string text(static_cast<size_t>(std::min(file.size(), most)), '\0');
  file.read_at(0, text.data(), text.size());
  return text;
}

std::span<std::byte> bytes_in(const Tensor& tensor) { return {static_cast<std::byte*>(tensor.raw()), tensor.bytes()}; }

// The stream: magic number, protocol, machine, content, keys; then each storage's length and numbers.

/// Bytes of all storages, each after its length, or an Error.
void check_length(const TorchContent& content, uint64_t bytes) {
  uint64_t expected = 0;
  for (const TorchStorage& storage : content.storages) {
    uint64_t own = 0;
    const bool counts = !__builtin_mul_overflow(static_cast<uint64_t>(storage.numel), size_of(storage.dtype), &own) &&
                        !__builtin_add_overflow(own, uint64_t{8}, &own) &&
                        !__builtin_add_overflow(expected, own, &expected);
    GSNET_CHECK(counts && expected <= bytes,
                fmt::format("the storages up to '{}' of {} elements do not fit into the {} bytes after the pickles",
                            shown(storage.key), storage.numel, bytes));
  }
  GSNET_CHECK(expected == bytes, fmt::format("the storages take {} bytes, but {} follow the pickles", expected, bytes));
}

/// The order of the storages in the file.
std::vector<size_t> storage_order(const Pickle& keys, const TorchContent& content) {
  std::vector<size_t> order;
  std::vector<bool> seen(content.storages.size(), false);
  GSNET_CHECK(keys.at(keys.root).kind == Kind::list,
              fmt::format("the storages' keys are {}, expected a list", kind_name(keys.at(keys.root).kind)));
  std::map<std::string_view, size_t> places;
  for (size_t i = 0; i < content.storages.size(); ++i) places.emplace(content.storages[i].key, i);
  for (const uint32_t id : keys.at(keys.root).items) {
    const auto found = places.find(keys.at(id).text);
    GSNET_CHECK(keys.at(id).kind == Kind::text && found != places.end() && !seen[found->second],
                fmt::format("the list of storages has '{}', which no tensor uses or which comes twice",
                            shown(keys.at(id).text)));
    seen[found->second] = true;
    order.push_back(found->second);
  }
  GSNET_CHECK(order.size() == content.storages.size(),
              fmt::format("there are {} storages, the tensors use {}", order.size(), content.storages.size()));
  return order;
}

void check_machine(const Pickle& pickle) {
  const PickleValue& machine = pickle.at(pickle.root);
  for (size_t i = 0; machine.kind == Kind::dict && i + 1 < machine.items.size(); i += 2) {
    if (pickle.at(machine.items[i]).text != "little_endian") continue;
    GSNET_CHECK(pickle.at(machine.items[i + 1]).integer == 1, "the numbers are big-endian, expected little-endian");
    return;
  }
  throw Error("the third pickle does not say whether the numbers are little-endian");
}

TensorFile read_stream(const InputFile& file) {
  const std::string text = beginning(file, kLargestPickle);
  const Pickle magic = read_pickle(text, 0, {});
  GSNET_CHECK(magic.at(magic.root).text == kMagic,
              "it does not begin with torch's magic number 0x1950a86a20f9469cfc6c");
  const Pickle protocol = read_pickle(text, magic.end, {});
  GSNET_CHECK(protocol.at(protocol.root).integer == kProtocol,
              fmt::format("it has protocol {}, expected {}", protocol.at(protocol.root).integer, kProtocol));
  const Pickle machine = read_pickle(text, protocol.end, {});
  check_machine(machine);
  const Pickle pickle = read_pickle(text, machine.end, torch_globals());
  const TorchContent content = torch_content(pickle);
  const Pickle keys = read_pickle(text, pickle.end, {});
  const std::vector<size_t> order = storage_order(keys, content);
  check_length(content, file.size() - keys.end);
  std::vector<Tensor> storages(order.size());
  uint64_t at = keys.end;
  for (const size_t i : order) {
    const TorchStorage& storage = content.storages[i];
    int64_t numel = 0;
    file.read_at(at, &numel, sizeof numel);
    GSNET_CHECK(numel == storage.numel, fmt::format("storage '{}' at byte {} has {} elements, expected {}",
                                                    shown(storage.key), at, numel, storage.numel));
    storages[i] = Tensor::empty({numel}, storage.dtype);
    file.read_at(at + sizeof numel, storages[i].raw(), storages[i].bytes());
    at += sizeof numel + storages[i].bytes();
  }
  return torch_tensors(content, storages);
}

// The archive: NAME/data.pkl, NAME/byteorder, NAME/data/KEY, and what says versions.

/// How much an archive may still unpack.
class Budget {
 public:
  explicit Budget(uint64_t file_bytes) : left_(kMostUnpacked * std::min(file_bytes, UINT64_MAX / kMostUnpacked)) {}

  void spend(const ZipReader& zip, uint64_t most) {
    GSNET_CHECK(zip.bytes() <= most && zip.bytes() <= left_,
                fmt::format("member '{}' unpacks to {} bytes, expected at most {}: {} times the file's size in all",
                            shown(zip.member()), zip.bytes(), std::min(most, left_), kMostUnpacked));
    left_ -= zip.bytes();
  }

 private:
  uint64_t left_;
};

std::string text_of(ZipReader& zip, Budget& budget, uint64_t most) {
  budget.spend(zip, most);
  std::string text(static_cast<size_t>(zip.bytes()), '\0');
  zip.read(std::as_writable_bytes(std::span(text)));
  return text;
}

struct ZipPickle {
  std::string folder;  ///< with '/' at its end
  std::string text;
};

ZipPickle read_zip_pickle(const std::filesystem::path& path, Budget& budget) {
  ZipPickle found;
  std::map<std::string, std::string> orders;
  ZipReader zip(path);
  while (zip.next()) {
    const std::string& member = zip.member();
    const size_t slash = member.find('/');
    if (slash == std::string::npos) continue;
    const std::string folder = member.substr(0, slash + 1), name = member.substr(slash + 1);
    GSNET_CHECK(name != "constants.pkl", "it is a TorchScript archive, expected a state dict");
    if (name == "byteorder") orders[folder] = text_of(zip, budget, 16);
    if (name != "data.pkl") continue;
    GSNET_CHECK(found.folder.empty(), fmt::format("both '{}' and '{}data.pkl' are there", shown(member), found.folder));
    found = {folder, text_of(zip, budget, kLargestPickle)};
  }
  GSNET_CHECK(!found.folder.empty(), "the zip archive has no member 'NAME/data.pkl'");
  const auto order = orders.find(found.folder);
  GSNET_CHECK(order == orders.end() || order->second == "little",
              fmt::format("the byte order is '{}', expected 'little'", shown(order->second)));
  return found;
}

std::vector<Tensor> read_zip_storages(const std::filesystem::path& path, Budget& budget, const std::string& folder,
                                      const TorchContent& content) {
  std::map<std::string, size_t> places;
  for (size_t i = 0; i < content.storages.size(); ++i) {
    places.emplace(fmt::format("{}data/{}", folder, content.storages[i].key), i);
  }
  std::vector<Tensor> storages(content.storages.size());
  ZipReader zip(path);
  while (zip.next()) {
    const auto found = places.find(zip.member());
    if (found == places.end()) continue;
    const TorchStorage& wanted = content.storages[found->second];
    Tensor& storage = storages[found->second];
    GSNET_CHECK(!storage, fmt::format("member '{}' comes twice", shown(zip.member())));
    const uint64_t size = size_of(wanted.dtype), numel = static_cast<uint64_t>(wanted.numel);
    GSNET_CHECK(zip.bytes() / size == numel && zip.bytes() % size == 0,
                fmt::format("member '{}' has {} bytes, expected {} elements of {}", shown(zip.member()), zip.bytes(),
                            wanted.numel, size));
    budget.spend(zip, UINT64_MAX);
    storage = Tensor::empty({wanted.numel}, wanted.dtype);
    zip.read(bytes_in(storage));
  }
  for (const auto& [member, place] : places) {
    GSNET_CHECK(storages[place], fmt::format("member '{}' is missing", shown(member)));
  }
  return storages;
}

TensorFile read_zip(const std::filesystem::path& path, uint64_t file_bytes) {
  Budget budget(file_bytes);
  const ZipPickle found = read_zip_pickle(path, budget);
  const Pickle pickle = read_pickle(found.text, 0, torch_globals());
  const TorchContent content = torch_content(pickle);
  return torch_tensors(content, read_zip_storages(path, budget, found.folder, content));
}

}  // namespace

TensorFile read_torch(const std::filesystem::path& path) {
  const InputFile file(path);
  try {
    const std::string start = beginning(file, 512);
    GSNET_CHECK(start.find("ustar") != 257,
                "it is a tar archive, as PyTorch wrote before 2017: load and save it again");
    if (start.starts_with("PK")) return read_zip(path, file.size());
    GSNET_CHECK(start.starts_with('\x80'), "it begins neither as a zip archive nor as a pickle");
    return read_stream(file);
  } catch (const Error& error) {
    throw Error(fmt::format("'{}' is no torch file that can be read: {}", file.name(), error.what()));
  }
}

TensorFile read_tensors(const std::filesystem::path& path) {
  const std::string start = beginning(InputFile(path), 9);
  const bool torch = (start.starts_with("PK") || start.starts_with('\x80')) && !(start.size() == 9 && start[8] == '{');
  return torch ? read_torch(path) : read_safetensors(path);
}

}  // namespace gsnet::io
