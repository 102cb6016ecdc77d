// Encoded pictures to RGB bytes. Only PNG, JPEG, BMP and PPM/PGM reach the decoder, and only after their header was
// found to announce a picture of at most 8192 a side.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace gsnet::data {

constexpr int kMostPictureSide = 8192;
constexpr int64_t kMostPictureBytes = int64_t{64} << 20;

struct PictureExtent {
  int64_t height = 0;
  int64_t width = 0;
};

struct Picture {
  PictureShape shape;
  std::vector<uint8_t> pixels;  ///< (H, W, C), RGB
};

/// What the header of an encoded picture announces. Throws Error starting with `name` for another format, a header that
/// is cut short, a side of 0 or more than 8192.
PictureExtent announced_extent(std::span<const uint8_t> encoded, const std::string& name);

/// True for a JPEG without an end marker after the start of its scan: decoders fill what is missing with grey and say
/// nothing. Damage in the middle is not seen.
bool is_cut_jpeg(std::span<const uint8_t> encoded);

/// Throws Error starting with `name` where there is no picture decoder.
void require_decoder(const std::string& name);

/// Decodes to three channels, upright as EXIF says. With side > 0, the largest square in the middle is scaled to that
/// side. Throws Error starting with `name`.
Picture decode_picture(std::span<const uint8_t> encoded, const std::string& name, int side);

}  // namespace gsnet::data
