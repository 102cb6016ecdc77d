#include <fmt/format.h>

#include <map>
#include <memory>
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

using Bytes = std::vector<uint8_t>;

/// The pictures of an archive, still encoded, in memory. Links lead to other members. Of members of one name the last
/// counts, as when the archive is unpacked.
class TarPictures final : public EncodedPictures {
 public:
  TarPictures(const fs::path& path, PictureNames names) : archive_(path.string()) {
    std::map<std::string, std::shared_ptr<const Bytes>> files;
    std::map<std::string, std::string> links;
    TarReader reader(path);
    int64_t held = 0;
    while (reader.next()) {
      const std::string& member = reader.member();
      const MemberKind kind = reader.kind();
      if ((kind != MemberKind::file && kind != MemberKind::link) || !is_picture_name(member, names)) continue;
      links.erase(member);
      if (kind == MemberKind::link) {
        links[member] = reader.target();
        continue;
      }
      held += reader.bytes();
      GSNET_CHECK(held <= kMostHeldBytes, fmt::format("{}: more than {} bytes of pictures at member '{}'; unpack it",
                                                      archive_, kMostHeldBytes, member));
      files[member] = std::make_shared<const Bytes>(reader.read_all(kMostPictureBytes));
    }
    for (auto& [member, target] : links) files[member] = followed(member, files, links);
    for (auto& [member, bytes] : files) {
      members_.push_back(member);
      encoded_.push_back(std::move(bytes));
    }
  }

  /// By path.
  const std::vector<std::string>& members() const { return members_; }

  /// Lets go of the bytes of pictures that no entry names.
  void keep_only(const std::vector<PictureEntry>& entries) {
    std::vector<bool> named(encoded_.size(), false);
    for (const PictureEntry& entry : entries) named[entry.source] = true;
    for (size_t i = 0; i < named.size(); ++i) {
      if (!named[i]) encoded_[i].reset();
    }
  }

  std::string name(size_t i) const override { return fmt::format("{}:{}", archive_, members_[i]); }
  std::span<const uint8_t> bytes(size_t i, Bytes&) const override {
    GSNET_CHECK(encoded_[i] != nullptr, fmt::format("{}: a link to what is no picture of the archive", name(i)));
    return *encoded_[i];
  }

 private:
  /// Null where the links from `member` lead to no file, or round in a circle.
  static std::shared_ptr<const Bytes> followed(std::string member,
                                               const std::map<std::string, std::shared_ptr<const Bytes>>& files,
                                               const std::map<std::string, std::string>& links) {
    for (size_t steps = 0; steps <= links.size(); ++steps) {
      const auto link = links.find(member);
      if (link == links.end()) break;
      member = link->second;
    }
    const auto file = files.find(member);
    return file == files.end() ? nullptr : file->second;
  }

  std::string archive_;
  std::vector<std::string> members_;
  std::vector<std::shared_ptr<const Bytes>> encoded_;
};

}  // namespace

bool is_picture_tar(const fs::path& path) {
  const std::string name = lower_case(path.filename().string());
  return fs::is_regular_file(path) && (name.ends_with(".tar") || name.ends_with(".tar.gz") || name.ends_with(".tgz"));
}

FoundPictures find_tar_pictures(const fs::path& archive) {
  require_decoder(archive.string());
  auto pictures = std::make_unique<TarPictures>(archive, PictureNames::known);
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
  auto pictures = std::make_unique<TarPictures>(path, PictureNames::readable);
  PictureCatalogue catalogue = arrange_pictures(pictures->members(), spec.split, path.string());
  pictures->keep_only(catalogue.entries);
  return make_picture_set(std::move(pictures), std::move(catalogue), spec.side);
}

}  // namespace gsnet::data
