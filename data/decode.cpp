#include "data/decode.h"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

#include "core/error.h"
#include "data/picture_library.h"

namespace gsnet::data {
namespace {

void check_decoded(const Decoded& decoded, const PictureExtent& announced, size_t bytes, const std::string& name) {
  GSNET_CHECK(!decoded.picture.pixels.empty(), fmt::format("{}: damaged or cut short, {} bytes announce {} x {} pixels",
                                                           name, bytes, announced.height, announced.width));
  const auto& [height, width] = decoded.extent;
  const bool upright = height == announced.height && width == announced.width;
  const bool turned = height == announced.width && width == announced.height;
  GSNET_CHECK(upright || turned, fmt::format("{}: decoded to {} x {} pixels, the header announces {} x {}", name,
                                             height, width, announced.height, announced.width));
}

}  // namespace

void require_decoder(const std::string& name) { picture_library(name); }

Picture decode_picture(std::span<const uint8_t> encoded, const std::string& name, int side) {
  const PictureExtent announced = announced_extent(encoded, name);
  GSNET_CHECK(!is_cut_jpeg(encoded),
              fmt::format("{}: the JPEG data is cut short, no end marker in {} bytes", name, encoded.size()));
  const PictureLibrary& library = picture_library(name);
  try {
    Decoded decoded = library.decode(encoded, 3, side);
    check_decoded(decoded, announced, encoded.size(), name);
    return std::move(decoded.picture);
  } catch (const Error&) {
    throw;
  } catch (const std::runtime_error& failure) {
    throw Error(fmt::format("{}: the decoder failed: {}", name, failure.what()));
  }
}

}  // namespace gsnet::data
