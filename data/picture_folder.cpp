#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "data/decode.h"
#include "data/files.h"
#include "data/picture_set.h"

namespace gsnet::data {
namespace {

namespace fs = std::filesystem;

constexpr int kMostDepth = 8;
constexpr int kLinkedLevels = 2;

class FolderPictures final : public EncodedPictures {
 public:
  FolderPictures(fs::path root, std::vector<std::string> paths) : root_(std::move(root)), paths_(std::move(paths)) {}

  std::string name(size_t i) const override { return (root_ / paths_[i]).string(); }

  std::span<const uint8_t> bytes(size_t i, std::vector<uint8_t>& scratch) const override {
    scratch = read_file(root_ / paths_[i], kMostPictureBytes);
    return scratch;
  }

 private:
  fs::path root_;
  std::vector<std::string> paths_;
};

/// Calls `found` with the path of every picture below the folder, relative to it, until it returns false. Links to
/// folders are followed on the two upper levels (parts and classes) only, so a loop of links ends.
template <class Found>
bool for_each_picture(const fs::path& root, const std::string& below, int depth, const Found& found) {
  std::error_code failure;
  fs::directory_iterator at(root / below, failure);
  for (const fs::directory_iterator end; !failure && at != end; at.increment(failure)) {
    const std::string name = at->path().filename().string(), path = below.empty() ? name : below + "/" + name;
    std::error_code unreadable;
    if (name.starts_with('.')) continue;
    if (at->is_directory(unreadable)) {
      const bool enter = depth < kLinkedLevels || (depth < kMostDepth && !at->is_symlink(unreadable));
      if (enter && !for_each_picture(root, path, depth + 1, found)) return false;
    } else if (is_picture_name(path) && at->is_regular_file(unreadable) && !found(path)) {
      return false;
    }
  }
  GSNET_CHECK(!failure, fmt::format("{}: the folder cannot be listed: {}", (root / below).string(), failure.message()));
  return true;
}

}  // namespace

bool is_picture_folder(const fs::path& path) {
  if (!fs::is_directory(path)) return false;
  return !for_each_picture(path, "", 0, [](const std::string& picture) { return picture.find('/') == picture.npos; });
}

std::vector<std::string> picture_paths(const fs::path& folder) {
  std::vector<std::string> paths;
  for_each_picture(folder, "", 0, [&](const std::string& picture) {
    paths.push_back(picture);
    return true;
  });
  std::ranges::sort(paths);
  return paths;
}

FoundPictures find_folder_pictures(const fs::path& folder) {
  require_decoder(folder.string());
  std::vector<std::string> paths = picture_paths(folder);
  return {std::make_unique<FolderPictures>(folder, paths), paths};
}

DatasetHandle open_picture_folder(const fs::path& path, const OpenSpec& spec) {
  FoundPictures found = find_folder_pictures(path);
  PictureCatalogue catalogue = arrange_pictures(found.paths, spec.split, path.string());
  return make_picture_set(std::move(found.encoded), std::move(catalogue), spec.side);
}

}  // namespace gsnet::data
