#include "data/assemble.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "data/files.h"

namespace gsnet::data {

Placement draw_placement(const Augmentation& augmentation, RandomKey key) {
  Random random(key);
  const auto range = static_cast<uint32_t>(2 * augmentation.crop_padding + 1);
  const int dy = static_cast<int>(random.below(range)) - augmentation.crop_padding;
  const int dx = static_cast<int>(random.below(range)) - augmentation.crop_padding;
  return {dy, dx, augmentation.flip && random.below(2) == 1};
}

Normaliser::Normaliser(const Normalisation& normalisation, int channels) {
  const auto count = static_cast<size_t>(channels);
  GSNET_CHECK(normalisation.mean.size() == count && normalisation.stddev.size() == count,
              fmt::format("normalisation: {} means and {} standard deviations, the pictures have {} channels",
                          normalisation.mean.size(), normalisation.stddev.size(), channels));
  tables_.resize(count);
  for (size_t c = 0; c < count; ++c) {
    const double mean = normalisation.mean[c], stddev = normalisation.stddev[c];
    GSNET_CHECK(std::isfinite(mean) && std::isfinite(stddev) && stddev > 0,
                fmt::format("normalisation: mean {} and standard deviation {} of channel {}, expected finite and > 0",
                            mean, stddev, c));
    for (size_t v = 0; v < 256; ++v) tables_[c][v] = static_cast<float>((static_cast<double>(v) / 255 - mean) / stddev);
  }
}

void Normaliser::write(const uint8_t* pixels, const PictureShape& shape, const Placement& placement, float* to) const {
  const auto channels = static_cast<size_t>(shape.channels);
  for (int y = 0; y < shape.height; ++y) {
    const int from_y = y + placement.dy;
    for (int x = 0; x < shape.width; ++x, to += channels) {
      const int from_x = (placement.mirrored ? shape.width - 1 - x : x) + placement.dx;
      if (from_y < 0 || from_y >= shape.height || from_x < 0 || from_x >= shape.width) {
        for (size_t c = 0; c < channels; ++c) to[c] = tables_[c][0];
        continue;
      }
      const uint8_t* pixel = pixels + (int64_t{from_y} * shape.width + from_x) * shape.channels;
      for (size_t c = 0; c < channels; ++c) to[c] = tables_[c][pixel[c]];
    }
  }
}

Batch empty_batch(const PictureShape& shape, int64_t count) {
  Batch batch;
  batch.images = Tensor::empty({count, shape.channels, shape.height, shape.width}, DType::f32, Layout::channels_last);
  batch.labels = Tensor::empty({count}, DType::i32);
  batch.indices.resize(static_cast<size_t>(count));
  return batch;
}

Batch read_batch(const Dataset& dataset, int64_t first, int64_t count, const Normalisation& normalisation) {
  GSNET_CHECK(
      first >= 0 && count >= 1 && first <= dataset.size() - count,
      fmt::format("read batch: {} pictures from {} on were asked for, there are {}", count, first, dataset.size()));
  const PictureShape shape = dataset.picture();
  const Normaliser normaliser(normalisation, shape.channels);
  std::vector<uint8_t> pixels(static_cast<size_t>(shape.numel()));
  Batch batch = empty_batch(shape, count);
  for (int64_t i = 0; i < count; ++i) {
    dataset.read(first + i, pixels);
    normaliser.write(pixels.data(), shape, {}, batch.images.data<float>() + i * shape.numel());
    batch.labels.data<int32_t>()[i] = dataset.label(first + i);
    batch.indices[static_cast<size_t>(i)] = first + i;
  }
  return batch;
}

}  // namespace gsnet::data
