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

/// A link to a folder above it, whose pictures are listed there.
bool leads_up(const fs::path& link) {
  std::error_code failure;
  const fs::path target = fs::canonical(link, failure), here = fs::canonical(link.parent_path(), failure);
  return !failure && std::ranges::mismatch(target, here).in1 == target.end();
}

/// Calls `found` with the path of everything below the folder that is named like a picture, relative to it, until it
/// returns false. Links to folders are followed on the two upper levels (parts and classes) only, and not upwards.
template <class Found>
bool for_each_picture(const fs::path& root, const std::string& below, int depth, PictureNames names,
                      const Found& found) {
  std::error_code failure;
  fs::directory_iterator at(root / below, failure);
  for (const fs::directory_iterator end; !failure && at != end; at.increment(failure)) {
    const std::string name = at->path().filename().string(), path = below.empty() ? name : below + "/" + name;
    std::error_code unreadable;
    if (name.starts_with('.')) continue;
    if (at->is_directory(unreadable)) {
      const bool link = at->is_symlink(unreadable);
      const bool enter = link ? depth < kLinkedLevels && !leads_up(at->path()) : depth < kMostDepth;
      if (enter && !for_each_picture(root, path, depth + 1, names, found)) return false;
    } else if (is_picture_name(path, names) && !found(path)) {
      return false;
    }
  }
  GSNET_CHECK(!failure, fmt::format("{}: the folder cannot be listed: {}", (root / below).string(), failure.message()));
  return true;
}

}  // namespace

bool is_picture_folder(const fs::path& path) {
  if (!fs::is_directory(path)) return false;
  return !for_each_picture(path, "", 0, PictureNames::readable,
                           [](const std::string& picture) { return picture.find('/') == picture.npos; });
}

std::vector<std::string> picture_paths(const fs::path& folder, PictureNames names) {
  std::vector<std::string> paths;
  for_each_picture(folder, "", 0, names, [&](const std::string& picture) {
    paths.push_back(picture);
    return true;
  });
  std::ranges::sort(paths);
  return paths;
}

namespace {

FoundPictures find(const fs::path& folder, PictureNames names) {
  require_decoder(folder.string());
  std::vector<std::string> paths = picture_paths(folder, names);
  return {std::make_unique<FolderPictures>(folder, paths), paths};
}

}  // namespace

FoundPictures find_folder_pictures(const fs::path& folder) { return find(folder, PictureNames::known); }

DatasetHandle open_picture_folder(const fs::path& path, const OpenSpec& spec) {
  FoundPictures found = find(path, PictureNames::readable);
  PictureCatalogue catalogue = arrange_pictures(found.paths, spec.split, path.string());
  return make_picture_set(std::move(found.encoded), std::move(catalogue), spec.side);
}

}  // namespace gsnet::data
