#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "data/archive.h"
#include "data/decode.h"
#include "data/files.h"
#include "data/picture_set.h"

namespace gsnet::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostHeldBytes = int64_t{4} << 30;

/// The pictures of an archive, still encoded, in memory.
class TarPictures final : public EncodedPictures {
 public:
  explicit TarPictures(const fs::path& path) : archive_(path.string()) {
    TarReader reader(path);
    int64_t held = 0;
    while (reader.next()) {
      if (reader.kind() != MemberKind::file || !is_picture_name(reader.member())) continue;
      encoded_.push_back(reader.read_all(kMostPictureBytes));
      members_.push_back(reader.member());
      held += reader.bytes();
      GSNET_CHECK(held <= kMostHeldBytes, fmt::format("{}: more than {} bytes of pictures at member '{}'; unpack it",
                                                      archive_, kMostHeldBytes, reader.member()));
    }
  }

  const std::vector<std::string>& members() const { return members_; }

  /// By path.
  void sort() {
    std::vector<size_t> order(members_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::sort(order, {}, [&](size_t i) { return std::string_view(members_[i]); });
    std::vector<std::string> members;
    std::vector<std::vector<uint8_t>> encoded;
    for (const size_t i : order) {
      members.push_back(std::move(members_[i]));
      encoded.push_back(std::move(encoded_[i]));
    }
    members_ = std::move(members);
    encoded_ = std::move(encoded);
  }

  /// Lets go of the bytes of pictures that no entry names.
  void keep_only(const std::vector<PictureEntry>& entries) {
    std::vector<bool> named(encoded_.size(), false);
    for (const PictureEntry& entry : entries) named[entry.source] = true;
    for (size_t i = 0; i < named.size(); ++i) {
      if (!named[i]) std::vector<uint8_t>().swap(encoded_[i]);
    }
  }

  std::string name(size_t i) const override { return fmt::format("{}:{}", archive_, members_[i]); }
  std::span<const uint8_t> bytes(size_t i, std::vector<uint8_t>&) const override { return encoded_[i]; }

 private:
  std::string archive_;
  std::vector<std::string> members_;
  std::vector<std::vector<uint8_t>> encoded_;
};

}  // namespace

bool is_picture_tar(const fs::path& path) {
  const std::string name = lower_case(path.filename().string());
  return fs::is_regular_file(path) && (name.ends_with(".tar") || name.ends_with(".tar.gz") || name.ends_with(".tgz"));
}

FoundPictures find_tar_pictures(const fs::path& archive) {
  require_decoder(archive.string());
  auto pictures = std::make_unique<TarPictures>(archive);
  pictures->sort();
  std::vector<std::string> paths = pictures->members();
  return {std::move(pictures), std::move(paths)};
}

FoundPictures find_pictures(const fs::path& path) {
  if (fs::is_directory(path)) return find_folder_pictures(path);
  GSNET_CHECK(is_picture_tar(path),
              fmt::format("{}: expected a folder, or a .tar, .tar.gz or .tgz, of pictures; found {}", path.string(),
                          fs::exists(path) ? "something else" : "nothing"));
  return find_tar_pictures(path);
}

DatasetHandle open_picture_tar(const fs::path& path, const OpenSpec& spec) {
  require_decoder(path.string());
  auto pictures = std::make_unique<TarPictures>(path);
  PictureCatalogue catalogue = arrange_pictures(pictures->members(), spec.split, path.string());
  pictures->keep_only(catalogue.entries);
  return make_picture_set(std::move(pictures), std::move(catalogue), spec.side);
}

}  // namespace gsnet::data
