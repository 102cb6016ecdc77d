// Downloads public data sets from their publishers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gsnet::data {

/// One file of a public data set and its proof.
struct RemoteFile {
  std::string url;
  std::string file_name;
  std::string digest;  ///< "sha256:..." or "md5:..." in lower-case hexadecimal
  int64_t bytes = 0;   ///< 0 when not known
};

struct PublicDataset {
  std::string name;         ///< "cifar10"
  std::string description;  ///< one line, with the terms of use
  std::vector<RemoteFile> files;
  bool unpack = false;  ///< tar archives whose members are put beside it
};

/// CIFAR-10, CIFAR-100 (binary), MNIST, Fashion-MNIST.
std::span<const PublicDataset> public_datasets();

/// Called while bytes come: file name, bytes so far, bytes in all (0 unknown).
using FetchProgress = std::function<void(std::string_view file, int64_t done, int64_t total)>;

/// Downloads into `folder`: each file under a temporary name, continued where an earlier try stopped, checked against
/// its digest, then renamed; files already there and right are kept. Throws Error naming the URL and the reason; a
/// wrong digest removes the temporary file. Archives are unpacked with their folders (cifar-10-batches-bin/), which
/// open_dataset(folder) finds. What the progress function throws passes through.
void fetch(const PublicDataset& dataset, const std::filesystem::path& folder, const FetchProgress& progress = {});

}  // namespace gsnet::data
