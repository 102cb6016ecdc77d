// Pictures in the middle of a larger black frame.
#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "data/dataset.h"
#include "data/files.h"
#include "data/wrapped.h"

namespace gsnet::data {
namespace {

class Padded final : public Wrapped {
 public:
  Padded(std::shared_ptr<const Dataset> whole, int side) : Wrapped(std::move(whole)), inner_(Wrapped::picture()) {
    GSNET_CHECK(
        inner_.height <= side && inner_.width <= side,
        fmt::format("pictures of {} x {} do not fit into a side of {}: sets of one fixed size are padded, never "
                    "shrunk",
                    inner_.height, inner_.width, side));
    frame_ = {inner_.channels, side, side};
  }

  PictureShape picture() const override { return frame_; }

  void read(int64_t i, std::span<uint8_t> pixels) const override {
    check_read("padded set", i, size(), frame_, pixels);
    std::vector<uint8_t> small(static_cast<size_t>(inner_.numel()));
    whole().read(i, small);
    std::ranges::fill(pixels, uint8_t{0});
    const int64_t row = int64_t{inner_.width} * inner_.channels, top = (frame_.height - inner_.height) / 2;
    const int64_t left = (frame_.width - inner_.width) / 2;
    for (int64_t y = 0; y < inner_.height; ++y) {
      std::copy_n(small.begin() + y * row, row, pixels.begin() + ((top + y) * frame_.width + left) * frame_.channels);
    }
  }

 private:
  PictureShape inner_, frame_;
};

}  // namespace

std::shared_ptr<const Dataset> padded(std::shared_ptr<const Dataset> whole, int side) {
  const PictureShape picture = whole->picture();
  if (side == 0 || (picture.height == side && picture.width == side)) return whole;
  return std::make_shared<Padded>(std::move(whole), side);
}

}  // namespace gsnet::data
