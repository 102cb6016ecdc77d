// The corruptions themselves, on numbers from 0 to 1; results may leave that range.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/random.h"
#include "data/dataset.h"

namespace gsnet::data {

/// A picture as (H, W, C) numbers.
struct Pixels {
  PictureShape shape;
  std::vector<float> values;

  size_t at(int y, int x) const { return (static_cast<size_t>(y) * shape.width + x) * shape.channels; }
  /// How much larger than 32 x 32: what lengths in pixels are multiplied by.
  double scale() const;
};

/// `severity` is 0 to 4 here.
void gaussian_noise(Pixels& picture, size_t severity, Random& random);
void shot_noise(Pixels& picture, size_t severity, Random& random);
void impulse_noise(Pixels& picture, size_t severity, Random& random);
void gaussian_blur(Pixels& picture, size_t severity, Random& random);
void motion_blur(Pixels& picture, size_t severity, Random& random);
void defocus_blur(Pixels& picture, size_t severity, Random& random);
void low_resolution(Pixels& picture, size_t severity, Random& random);
void distant(Pixels& picture, size_t severity, Random& random);
void occlusion(Pixels& picture, size_t severity, Random& random);
void mask(Pixels& picture, size_t severity, Random& random);
void brightness(Pixels& picture, size_t severity, Random& random);
void contrast(Pixels& picture, size_t severity, Random& random);
/// Throws Error without a picture library.
void jpeg(Pixels& picture, size_t severity, Random& random);

/// Throws Error where jpeg() would, for pictures of this shape.
void require_jpeg(const PictureShape& shape);

}  // namespace gsnet::data
