// IDX files (LeCun, Cortes, Burges: MNIST): a magic number, one big-endian extent an axis, then bytes; often gzipped.
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "core/error.h"
#include "data/files.h"
#include "data/formats.h"

namespace gsnet::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostBytes = int64_t{1} << 34;
constexpr int64_t kMostDeflated = 1032;  // deflate cannot make more of one byte
constexpr uint32_t kMostSide = 8192;

/// Reads a file through zlib, which passes on files that are not gzipped.
class IdxStream {
 public:
  explicit IdxStream(const fs::path& path) : name_(path.string()), file_(gzopen(path.c_str(), "rb")) {
    GSNET_CHECK(file_ != nullptr, fmt::format("{}: cannot be opened for reading", name_));
    const int64_t stored = file_bytes(path);
    most_ = gzdirect(file_.get()) != 0 ? stored : stored * kMostDeflated;
  }

  /// Throws Error when fewer bytes are left.
  void read(std::span<uint8_t> bytes) {
    for (size_t done = 0; done < bytes.size();) {
      const auto piece = static_cast<unsigned>(std::min<size_t>(bytes.size() - done, 1U << 30U));
      const int got = gzread(file_.get(), bytes.data() + done, piece);
      check_stream(got);
      GSNET_CHECK(got > 0,
                  fmt::format("{}: ends at offset {}, expected {} bytes more", name_, at_, bytes.size() - done));
      done += static_cast<size_t>(got);
      at_ += got;
    }
  }

  uint32_t number() {
    std::array<uint8_t, 4> b{};
    read(b);
    return uint32_t{b[0]} << 24U | uint32_t{b[1]} << 16U | uint32_t{b[2]} << 8U | uint32_t{b[3]};
  }

  void expect_magic(uint32_t magic) {
    const uint32_t found = number();
    GSNET_CHECK(found == magic,
                fmt::format("{}: magic number {:#010x} at offset 0, expected {:#010x}", name_, found, magic));
  }

  /// `count` bytes that must be the rest of the file; the size is checked before they are allocated.
  std::vector<uint8_t> rest(int64_t count) {
    GSNET_CHECK(count <= kMostBytes && at_ + count <= most_,
                fmt::format("{}: the header at offset 0 announces {} bytes, the file can hold at most {}", name_, count,
                            std::min(kMostBytes, most_ - at_)));
    std::vector<uint8_t> bytes(static_cast<size_t>(count));
    read(bytes);
    uint8_t more = 0;
    const int got = gzread(file_.get(), &more, 1);
    check_stream(got);
    GSNET_CHECK(got == 0, fmt::format("{}: goes on at offset {}, expected its end there", name_, at_));
    return bytes;
  }

  const std::string& name() const { return name_; }

 private:
  struct Close {
    void operator()(gzFile_s* file) const { gzclose(file); }
  };

  void check_stream(int got) const {
    int code = Z_OK;
    const char* reason = gzerror(file_.get(), &code);
    GSNET_CHECK(got >= 0 && (code == Z_OK || code == Z_STREAM_END),
                fmt::format("{}: damaged or cut short after offset {}: {}", name_, at_,
                            code == Z_ERRNO ? "the system cannot read on" : reason));
  }

  std::string name_;
  std::unique_ptr<gzFile_s, Close> file_;
  int64_t at_ = 0;
  int64_t most_ = 0;
};

std::string without_gz(std::string name) {
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  return name;
}

bool is_images_name(const std::string& name) {
  const std::string plain = without_gz(name);
  return plain.ends_with("images-idx3-ubyte") || plain.ends_with("images.idx3-ubyte");
}

bool is_train_name(const std::string& name) { return name.find("train") != std::string::npos; }

/// The file of images of a split; of a file and its gzipped twin the former.
fs::path find_images(const fs::path& folder, Split split) {
  std::optional<fs::path> found;
  for (const std::string& name : file_names(folder)) {
    if (!is_images_name(name) || is_train_name(name) != (split == Split::train)) continue;
    if (found && without_gz(found->filename().string()) == without_gz(name)) continue;
    GSNET_CHECK(!found, fmt::format("{}: both {} and {} could be meant; open one of them", folder.string(),
                                    found->filename().string(), name));
    found = folder / name;
  }
  GSNET_CHECK(found.has_value(),
              fmt::format("{}: no {}-images-idx3-ubyte[.gz] for the {} split", folder.string(),
                          split == Split::train ? "train" : "t10k", split == Split::train ? "train" : "test"));
  return *found;
}

fs::path find_labels(const fs::path& images) {
  std::string name = without_gz(images.filename().string());
  name.replace(name.rfind("images"), 6, "labels");
  name.replace(name.rfind("idx3"), 4, "idx1");
  for (const std::string& candidate : {name, name + ".gz"}) {
    if (fs::is_regular_file(images.parent_path() / candidate)) return images.parent_path() / candidate;
  }
  throw Error(fmt::format("{}: no labels beside it, expected {} or {}.gz", images.string(), name, name));
}

std::vector<uint8_t> read_labels(const fs::path& path, int64_t images) {
  IdxStream stream(path);
  stream.expect_magic(0x801);
  const int64_t count = stream.number();
  GSNET_CHECK(count == images, fmt::format("{}: {} labels announced at offset 4, expected {} as there are images",
                                           stream.name(), count, images));
  return stream.rest(count);
}

void read_images(const fs::path& path, MemoryPictures& to) {
  IdxStream stream(path);
  stream.expect_magic(0x803);
  const int64_t count = stream.number();
  const uint32_t height = stream.number(), width = stream.number();
  GSNET_CHECK(count > 0, fmt::format("{}: no image is announced at offset 4", stream.name()));
  GSNET_CHECK(height >= 1 && height <= kMostSide && width >= 1 && width <= kMostSide,
              fmt::format("{}: images of {} x {} are announced at offset 8, expected sides of 1 to {}", stream.name(),
                          height, width, kMostSide));
  to.shape = {1, static_cast<int>(height), static_cast<int>(width)};
  to.labels = read_labels(find_labels(path), count);
  to.pixels = stream.rest(count * to.shape.numel());
}

/// class_names.txt beside the images, else numbers: ten, or as many as the largest label needs.
std::vector<std::string> idx_class_names(const fs::path& folder, const std::vector<uint8_t>& labels) {
  const int largest = *std::max_element(labels.begin(), labels.end());
  const fs::path file = folder / "class_names.txt";
  if (fs::is_regular_file(file)) {
    auto names = read_lines(file);
    GSNET_CHECK(static_cast<int>(names.size()) > largest,
                fmt::format("{}: {} names, but there is a label {}", file.string(), names.size(), largest));
    return names;
  }
  std::vector<std::string> names;
  for (int i = 0; i <= std::max(9, largest); ++i) names.push_back(std::to_string(i));
  return names;
}

}  // namespace

bool is_idx(const fs::path& path) {
  if (!fs::is_directory(path)) return fs::is_regular_file(path) && is_images_name(path.filename().string());
  const auto names = file_names(path);
  return std::any_of(names.begin(), names.end(), is_images_name);
}

DatasetHandle open_idx(const fs::path& path, const OpenSpec& spec) {
  const fs::path images = fs::is_directory(path) ? find_images(path, spec.split) : path;
  MemoryPictures pictures;
  pictures.what = images.string();
  read_images(images, pictures);
  pictures.class_names = idx_class_names(images.parent_path(), pictures.labels);
  pictures.parts = {{images.filename().string(), 0}};
  return make_memory_dataset(std::move(pictures));
}

}  // namespace gsnet::data
