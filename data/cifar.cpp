// The binary files of CIFAR-10 and CIFAR-100 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images",
// 2009): records of one label byte, or a coarse and a fine one, then 1,024 red, 1,024 green and 1,024 blue bytes.
#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "data/files.h"
#include "data/formats.h"

namespace gsnet::data {
namespace {

namespace fs = std::filesystem;

constexpr int kSide = 32;
constexpr int64_t kPlane = kSide * kSide;
constexpr int64_t kMostRecords = 1'000'000;

struct CifarFormat {
  std::string_view archive_folder;  ///< where the publisher's archive puts the files
  std::string_view names_file;
  std::string_view train_files;  ///< for messages
  std::string_view test_files;
  int label_bytes = 1;  ///< the last one is the label that is used
  int classes = 10;

  int64_t record() const { return label_bytes + 3 * kPlane; }
};

constexpr CifarFormat kCifar10 = {
    "cifar-10-batches-bin", "batches.meta.txt", "data_batch_N.bin", "test_batch*.bin", 1, 10};
constexpr CifarFormat kCifar100 = {"cifar-100-binary", "fine_label_names.txt", "train.bin", "test.bin", 2, 100};

bool is_train_batch(std::string_view name) {
  if (!name.starts_with("data_batch_") || !name.ends_with(".bin") || name.size() <= 15) return false;
  const std::string_view number = name.substr(11, name.size() - 15);
  return std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_test_batch(std::string_view name) { return name.starts_with("test_batch") && name.ends_with(".bin"); }

bool belongs(const CifarFormat& format, std::string_view name, Split split) {
  const bool train = split == Split::train;
  if (format.classes == 100) return name == (train ? "train.bin" : "test.bin");
  return train ? is_train_batch(name) : is_test_batch(name);
}

bool has_files(const CifarFormat& format, const fs::path& folder) {
  if (!fs::is_directory(folder)) return false;
  const auto names = file_names(folder);
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return belongs(format, name, Split::train) || belongs(format, name, Split::test);
  });
}

bool is_cifar(const CifarFormat& format, const fs::path& path) {
  if (fs::is_directory(path)) return has_files(format, path) || has_files(format, path / format.archive_folder);
  const std::string name = path.filename().string();
  return fs::is_regular_file(path) && (belongs(format, name, Split::train) || belongs(format, name, Split::test));
}

std::vector<fs::path> files_of(const CifarFormat& format, const fs::path& folder, Split split) {
  std::vector<fs::path> files;
  for (const std::string& name : file_names(folder)) {
    if (!belongs(format, name, split)) continue;
    if (name == "test_batch.bin") return {folder / name};  // the whole test set; others are parts of it
    files.push_back(folder / name);
  }
  GSNET_CHECK(!files.empty(), fmt::format("{}: no {} for the {} split", folder.string(),
                                          split == Split::train ? format.train_files : format.test_files,
                                          split == Split::train ? "train" : "test"));
  return files;
}

std::vector<std::string> class_names_of(const CifarFormat& format, const fs::path& folder) {
  const fs::path file = folder / format.names_file;
  if (fs::is_regular_file(file)) {
    auto names = read_lines(file);
    GSNET_CHECK(
        names.size() == static_cast<size_t>(format.classes),
        fmt::format("{}: expected {} class names, one a line, found {}", file.string(), format.classes, names.size()));
    return names;
  }
  if (format.classes == 10) {
    return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
  }
  std::vector<std::string> numbers;
  for (int i = 0; i < format.classes; ++i) numbers.push_back(std::to_string(i));
  return numbers;
}

int64_t count_records(const CifarFormat& format, const fs::path& file) {
  const int64_t bytes = file_bytes(file), whole = bytes / format.record(), rest = bytes % format.record();
  GSNET_CHECK(bytes > 0, fmt::format("{}: empty, expected records of {} bytes", file.string(), format.record()));
  GSNET_CHECK(rest == 0, fmt::format("{}: record {} at offset {} has {} bytes, expected {}", file.string(), whole,
                                     whole * format.record(), rest, format.record()));
  GSNET_CHECK(whole <= kMostRecords,
              fmt::format("{}: {} records, at most {} are read", file.string(), whole, kMostRecords));
  return whole;
}

void interleave(const uint8_t* planes, uint8_t* pixels) {
  for (int64_t i = 0; i < kPlane; ++i) {
    for (int64_t c = 0; c < 3; ++c) pixels[3 * i + c] = planes[c * kPlane + i];
  }
}

void append(const CifarFormat& format, const fs::path& file, MemoryPictures& to) {
  const int64_t records = count_records(format, file);
  const std::vector<uint8_t> bytes = read_file(file, records * format.record());
  const auto first = static_cast<int64_t>(to.labels.size());
  GSNET_CHECK(static_cast<int64_t>(bytes.size()) == records * format.record(),
              fmt::format("{}: its size changed while it was read", file.string()));
  to.parts.push_back({file.filename().string(), first});
  to.pixels.resize(static_cast<size_t>((first + records) * 3 * kPlane));
  for (int64_t i = 0; i < records; ++i) {
    const uint8_t* record = bytes.data() + i * format.record();
    const int label = record[format.label_bytes - 1];
    GSNET_CHECK(label < format.classes,
                fmt::format("{}: record {} at offset {} has label {}, expected less than {}", file.string(), i,
                            i * format.record() + format.label_bytes - 1, label, format.classes));
    to.labels.push_back(static_cast<uint8_t>(label));
    interleave(record + format.label_bytes, to.pixels.data() + (first + i) * 3 * kPlane);
  }
}

DatasetHandle open_cifar(const CifarFormat& format, const fs::path& path, Split split) {
  const bool folder = fs::is_directory(path);
  const fs::path root = !folder ? path.parent_path() : has_files(format, path) ? path : path / format.archive_folder;
  MemoryPictures pictures;
  pictures.what = path.string();
  pictures.shape = {3, kSide, kSide};
  pictures.class_names = class_names_of(format, root);
  const std::vector<fs::path> files = folder ? files_of(format, root, split) : std::vector<fs::path>{path};
  int64_t records = 0;
  for (const fs::path& file : files) records += count_records(format, file);
  pictures.pixels.reserve(static_cast<size_t>(records * 3 * kPlane));
  for (const fs::path& file : files) append(format, file, pictures);
  return make_memory_dataset(std::move(pictures));
}

}  // namespace

bool is_cifar10(const fs::path& path) { return is_cifar(kCifar10, path); }

DatasetHandle open_cifar10(const fs::path& path, const OpenSpec& spec) {
  return open_cifar(kCifar10, path, spec.split);
}

bool is_cifar100(const fs::path& path) { return is_cifar(kCifar100, path); }

DatasetHandle open_cifar100(const fs::path& path, const OpenSpec& spec) {
  return open_cifar(kCifar100, path, spec.split);
}

}  // namespace gsnet::data
