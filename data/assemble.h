// From picture bytes to the floats of a batch: crop, mirror, normalise.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "data/loader.h"

namespace gsnet::data {

/// Where a crop of the picture's own size starts in the padded picture, relative to the picture, and whether it is
/// mirrored. Offsets in [-padding, padding].
struct Placement {
  int dy = 0;
  int dx = 0;
  bool mirrored = false;
};

/// The draw of one picture: a function of the key only.
Placement draw_placement(const Augmentation& augmentation, RandomKey key);

/// x = (pixel / 255 - mean[c]) / stddev[c] for all 256 values of a pixel. Const and thread-safe.
class Normaliser {
 public:
  /// Throws Error unless there is one finite mean and one positive stddev for each channel.
  Normaliser(const Normalisation& normalisation, int channels);

  /// Writes one picture of `shape` from (H, W, C) bytes to (H, W, C) floats; outside the picture pixels are 0.
  void write(const uint8_t* pixels, const PictureShape& shape, const Placement& placement, float* to) const;

 private:
  std::vector<std::array<float, 256>> tables_;  // one a channel
};

/// An uninitialised batch of `count` pictures.
Batch empty_batch(const PictureShape& shape, int64_t count);

}  // namespace gsnet::data
