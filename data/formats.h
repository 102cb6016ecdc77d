// One pair of functions for each format: is this such a thing, and open it. open.cpp holds the table of them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace gsnet::data {

using DatasetHandle = std::shared_ptr<const Dataset>;

/// A folder with data_batch_N.bin or test_batch*.bin, the folder above it as the archive unpacks, or one such file.
bool is_cifar10(const std::filesystem::path& path);
DatasetHandle open_cifar10(const std::filesystem::path& path, const OpenSpec& spec);

/// A folder with train.bin or test.bin, the folder above it as the archive unpacks, or one such file.
bool is_cifar100(const std::filesystem::path& path);
DatasetHandle open_cifar100(const std::filesystem::path& path, const OpenSpec& spec);

/// A folder with *-images-idx3-ubyte[.gz], or one such file; the labels lie beside.
bool is_idx(const std::filesystem::path& path);
DatasetHandle open_idx(const std::filesystem::path& path, const OpenSpec& spec);

/// A file *.rec: RecordIO as MXNet and insightface pack pictures, with its *.idx beside, or none.
bool is_record_io(const std::filesystem::path& path);
DatasetHandle open_record_io(const std::filesystem::path& path, const OpenSpec& spec);

/// A file *.tar, *.tar.gz or *.tgz with class folders of pictures.
bool is_picture_tar(const std::filesystem::path& path);
DatasetHandle open_picture_tar(const std::filesystem::path& path, const OpenSpec& spec);

/// A folder with class folders of pictures.
bool is_picture_folder(const std::filesystem::path& path);
DatasetHandle open_picture_folder(const std::filesystem::path& path, const OpenSpec& spec);

/// Pictures held in memory, for formats without compression.
struct MemoryPictures {
  /// Pictures from `first` on are those of the file `name`.
  struct Part {
    std::string name;
    int64_t first = 0;
  };

  std::string what;  ///< path of the set, for messages
  PictureShape shape;
  std::vector<uint8_t> pixels;  ///< (N, H, W, C)
  std::vector<uint8_t> labels;
  std::vector<std::string> class_names;
  std::vector<Part> parts;
};
DatasetHandle make_memory_dataset(MemoryPictures pictures);

}  // namespace gsnet::data
