#include "data/fetch.h"

#include <fmt/format.h>

#include <system_error>

#include "core/error.h"
#include "data/digest.h"
#include "data/download.h"
#include "data/unpack.h"

namespace gsnet::data {
namespace {

namespace fs = std::filesystem;

void check(const RemoteFile& file) {
  const fs::path name(file.file_name);
  GSNET_CHECK(!file.file_name.empty() && name == name.filename() && file.file_name != "." && file.file_name != "..",
              fmt::format("{}: '{}' is not the plain name of a file", file.url, file.file_name));
  check_digest_form(file.digest);
}

void put_in_place(const RemoteFile& file, const fs::path& part, const fs::path& target) {
  const std::string found = digest_of(part, file.digest);
  if (found != file.digest) {
    std::error_code ignored;
    fs::remove(part, ignored);
    throw Error(fmt::format("{}: expected {}, got {}; {} was removed", file.url, file.digest, found, part.string()));
  }
  std::error_code failure;
  fs::rename(part, target, failure);
  GSNET_CHECK(!failure, fmt::format("{}: {} cannot be renamed: {}", file.url, part.string(), failure.message()));
}

void fetch_file(const RemoteFile& file, const fs::path& folder, const FetchProgress& progress) {
  const fs::path target = folder / file.file_name, part = target.string() + ".part";
  if (fs::is_regular_file(target) && digest_of(target, file.digest) == file.digest) return;
  download(file, part, progress);
  put_in_place(file, part, target);
}

}  // namespace

void fetch(const PublicDataset& dataset, const fs::path& folder, const FetchProgress& progress) {
  for (const RemoteFile& file : dataset.files) check(file);
  std::error_code failure;
  fs::create_directories(folder, failure);
  GSNET_CHECK(!failure,
              fmt::format("fetch {}: {} cannot be made: {}", dataset.name, folder.string(), failure.message()));
  for (const RemoteFile& file : dataset.files) {
    fetch_file(file, folder, progress);
    if (dataset.unpack) unpack_tar(folder / file.file_name, folder);
  }
}

}  // namespace gsnet::data
