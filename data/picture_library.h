// Pictures decoded, encoded, scaled and warped: a library of its own with OpenCV behind it, loaded when it is first
// needed. So commands without pictures start at once, and programs that use gsnet do not link to OpenCV.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/align.h"
#include "data/decode.h"

namespace gsnet::data {

struct Decoded {
  PictureExtent extent;  ///< of the whole picture
  Picture picture;
};

/// Failures of OpenCV are std::runtime_error: Error would have to be known to both sides.
class PictureLibrary {
 public:
  virtual ~PictureLibrary() = default;

  /// To one channel or three (RGB), upright as EXIF says; no pixels where it cannot be decoded. With side > 0, the
  /// largest square in the middle scaled to that side: averaged where it shrinks, linear where it grows.
  virtual Decoded decode(std::span<const uint8_t> encoded, int channels, int side) const = 0;
  virtual std::vector<uint8_t> jpeg(const Picture& picture, int quality) const = 0;
  /// Each point p of the picture comes to similarity(p): bilinear, black beyond the picture.
  virtual Picture warped(const Picture& picture, const Similarity& similarity, int side) const = 0;
};

/// The file, and the function `const PictureLibrary* ()` in it; the number counts changes of the class.
constexpr const char* kPictureLibraryFile = "libgsnet_pictures.so";
constexpr const char* kPictureLibraryEntry = "gsnet_picture_library_2";

/// Loads it, once. Throws Error starting with `name` where it is not there. Thread-safe.
const PictureLibrary& picture_library(const std::string& name);

}  // namespace gsnet::data
