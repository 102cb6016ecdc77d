// Lossy compression and back, by the picture library's encoder and decoder.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

#include "core/error.h"
#include "data/corruption_kinds.h"
#include "data/picture_library.h"

namespace gsnet::data {
namespace {

constexpr const char* kName = "corruption jpeg";

Picture decoded_again(const Picture& picture, int quality) {
  const PictureLibrary& library = picture_library(kName);
  try {
    return library.decode(library.jpeg(picture, quality), picture.shape.channels, 0).picture;
  } catch (const std::runtime_error& failure) {
    throw Error(fmt::format("{}: {}", kName, failure.what()));
  }
}

}  // namespace

void require_jpeg(const PictureShape& shape) {
  GSNET_CHECK(shape.channels == 1 || shape.channels == 3,
              fmt::format("{}: takes one or three channels, got {}", kName, shape.channels));
  picture_library(kName);
}

void jpeg(Pixels& picture, size_t severity, Random&) {
  constexpr std::array kQuality = {80, 65, 58, 50, 40};
  require_jpeg(picture.shape);
  Picture bytes{picture.shape, std::vector<uint8_t>(picture.values.size())};
  std::transform(picture.values.begin(), picture.values.end(), bytes.pixels.begin(),
                 [](float v) { return static_cast<uint8_t>(std::lrint(std::clamp(255 * v, 0.0F, 255.0F))); });
  bytes = decoded_again(bytes, kQuality[severity]);
  GSNET_CHECK(bytes.shape == picture.shape, fmt::format("{}: the picture did not come back", kName));
  std::transform(bytes.pixels.begin(), bytes.pixels.end(), picture.values.begin(),
                 [](uint8_t byte) { return static_cast<float>(byte / 255.0); });
}

}  // namespace gsnet::data
