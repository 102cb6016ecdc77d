#include "data/picture_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "data/decode.h"
#include "data/files.h"

namespace gsnet::data {
namespace {

class PictureSet final : public Dataset {
 public:
  PictureSet(std::unique_ptr<const EncodedPictures> encoded, PictureCatalogue catalogue, int side)
      : encoded_(std::move(encoded)), catalogue_(std::move(catalogue)), side_(side), shape_{3, side, side} {
    if (side_ == 0) shape_ = decode(0).shape;
  }

  int64_t size() const override { return static_cast<int64_t>(catalogue_.entries.size()); }
  PictureShape picture() const override { return shape_; }
  const std::vector<std::string>& class_names() const override { return catalogue_.class_names; }
  int label(int64_t i) const override { return entry(i).label; }
  std::string name(int64_t i) const override { return encoded_->name(entry(i).source); }

  void read(int64_t i, std::span<uint8_t> pixels) const override {
    check_read("picture set", i, size(), shape_, pixels);
    const Picture picture = decode(i);
    GSNET_CHECK(picture.shape == shape_,
                fmt::format("{}: {} x {} pixels, expected {} x {} as in the first picture; ask for a side to have all "
                            "scaled",
                            name(i), picture.shape.height, picture.shape.width, shape_.height, shape_.width));
    std::copy(picture.pixels.begin(), picture.pixels.end(), pixels.begin());
  }

 private:
  const PictureEntry& entry(int64_t i) const {
    check_index("picture set", i, size());
    return catalogue_.entries[static_cast<size_t>(i)];
  }

  Picture decode(int64_t i) const {
    std::vector<uint8_t> scratch;
    const size_t source = entry(i).source;
    return decode_picture(encoded_->bytes(source, scratch), encoded_->name(source), side_);
  }

  std::unique_ptr<const EncodedPictures> encoded_;
  PictureCatalogue catalogue_;
  int side_;
  PictureShape shape_;
};

}  // namespace

DatasetHandle make_picture_set(std::unique_ptr<const EncodedPictures> encoded, PictureCatalogue catalogue, int side) {
  return std::make_shared<PictureSet>(std::move(encoded), std::move(catalogue), side);
}

}  // namespace gsnet::data
