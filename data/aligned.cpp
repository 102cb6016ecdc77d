#include "data/aligned.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "data/files.h"

namespace gsnet::data {
namespace {

class AlignedPictures final : public Dataset {
 public:
  AlignedPictures(std::unique_ptr<const EncodedPictures> encoded, PictureCatalogue catalogue,
                  std::vector<std::optional<Landmarks>> landmarks, int side)
      : encoded_(std::move(encoded)), catalogue_(std::move(catalogue)), landmarks_(std::move(landmarks)), side_(side) {}

  int64_t size() const override { return std::ssize(catalogue_.entries); }
  PictureShape picture() const override { return {3, side_, side_}; }
  const std::vector<std::string>& class_names() const override { return catalogue_.class_names; }
  int label(int64_t i) const override { return entry(i).label; }
  std::string name(int64_t i) const override { return encoded_->name(entry(i).source); }

  void read(int64_t i, std::span<uint8_t> pixels) const override {
    check_read("pictures", i, size(), picture(), pixels);
    const size_t source = entry(i).source;
    const std::optional<Landmarks>& landmarks = landmarks_[source];
    GSNET_CHECK(landmarks.has_value(), fmt::format("{}: the list has no landmarks for it", name(i)));
    std::vector<uint8_t> scratch;
    const Picture whole = decode_picture(encoded_->bytes(source, scratch), name(i), 0);
    std::ranges::copy(align_face(whole, *landmarks, side_, name(i)).pixels, pixels.begin());
  }

 private:
  const PictureEntry& entry(int64_t i) const {
    check_index("pictures", i, size());
    return catalogue_.entries[static_cast<size_t>(i)];
  }

  std::unique_ptr<const EncodedPictures> encoded_;
  PictureCatalogue catalogue_;
  std::vector<std::optional<Landmarks>> landmarks_;  // by source
  int side_;
};

}  // namespace

std::vector<std::optional<Landmarks>> landmarks_for(const PictureIndex& index, const std::filesystem::path& file,
                                                    int64_t& unused) {
  auto landmarks = read_landmarks(file, index, unused);
  GSNET_CHECK(std::ranges::any_of(landmarks, [](const auto& points) { return points.has_value(); }),
              fmt::format("{}: it has landmarks of none of the {} pictures; {} names are no picture's", file.string(),
                          index.paths().size(), unused));
  return landmarks;
}

DatasetHandle make_aligned_set(std::unique_ptr<const EncodedPictures> encoded, PictureCatalogue catalogue,
                               std::vector<std::optional<Landmarks>> landmarks, int side) {
  GSNET_CHECK(side > 0, "aligned pictures need a side");
  return std::make_shared<AlignedPictures>(std::move(encoded), std::move(catalogue), std::move(landmarks), side);
}

DatasetHandle open_aligned_classes(const std::filesystem::path& path, const std::filesystem::path& landmarks, int side,
                                   int64_t& unused) {
  FoundPictures found = find_pictures(path);
  PictureCatalogue catalogue = arrange_pictures(found.paths, Split::train, path.string());
  const PictureIndex index(found.paths, path.string());
  return make_aligned_set(std::move(found.encoded), std::move(catalogue), landmarks_for(index, landmarks, unused),
                          side);
}

}  // namespace gsnet::data
