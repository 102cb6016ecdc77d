// Corruptions by light and by what stands in front.
#include <algorithm>
#include <array>
#include <cmath>

#include "data/corruption_kinds.h"

namespace gsnet::data {

void brightness(Pixels& picture, size_t severity, Random&) {
  constexpr std::array kMore = {0.05F, 0.1F, 0.15F, 0.2F, 0.3F};
  const auto channels = static_cast<size_t>(picture.shape.channels);
  for (size_t at = 0; at < picture.values.size(); at += channels) {
    const std::span<float> colour(&picture.values[at], channels);
    const float value = std::ranges::max(colour), brighter = std::min(value + kMore[severity], 1.0F);
    for (float& v : colour) v = value > 0 ? v * (brighter / value) : brighter;
  }
}

void contrast(Pixels& picture, size_t severity, Random&) {
  constexpr std::array kShare = {0.75, 0.5, 0.4, 0.3, 0.15};
  const auto channels = static_cast<size_t>(picture.shape.channels);
  for (size_t c = 0; c < channels; ++c) {
    double mean = 0;
    for (size_t at = c; at < picture.values.size(); at += channels) mean += picture.values[at];
    mean *= static_cast<double>(channels) / static_cast<double>(picture.values.size());
    for (size_t at = c; at < picture.values.size(); at += channels) {
      picture.values[at] = static_cast<float>(mean + (picture.values[at] - mean) * kShare[severity]);
    }
  }
}

namespace {

std::vector<float> random_colour(int channels, Random& random) {
  std::vector<float> colour(static_cast<size_t>(channels));
  for (float& v : colour) v = static_cast<float>(random.uniform());
  return colour;
}

}  // namespace

void occlusion(Pixels& picture, size_t severity, Random& random) {
  constexpr std::array kShare = {0.2, 0.3, 0.4, 0.5, 0.6};
  const auto& [channels, height, width] = picture.shape;
  const int side = std::max(1, static_cast<int>(std::lround(std::min(height, width) * kShare[severity])));
  const int top = static_cast<int>(random.uniform(0, height - side + 1));
  const int left = static_cast<int>(random.uniform(0, width - side + 1));
  const std::vector<float> colour = random_colour(channels, random);
  for (int y = top; y < top + side; ++y) {
    for (int x = left; x < left + side; ++x) {
      std::ranges::copy(colour, picture.values.begin() + static_cast<std::ptrdiff_t>(picture.at(y, x)));
    }
  }
}

void mask(Pixels& picture, size_t severity, Random& random) {
  constexpr std::array kEdge = {0.80, 0.72, 0.65, 0.58, 0.52};  // of the height, in the middle
  constexpr double kSag = 0.06, kSide = 0.08, kChin = 0.22;  // the edge falls to the sides, these draw in to the chin
  const auto& [channels, height, width] = picture.shape;
  const std::vector<float> colour = random_colour(channels, random);
  for (int y = 0; y < height; ++y) {
    const double down = (y + 0.5) / height;
    const double side = kSide + (kChin - kSide) * std::max(0.0, 2 * down - 1);
    for (int x = 0; x < width; ++x) {
      const double out = std::abs((x + 0.5) / width - 0.5) / 0.5;  // 0 in the middle, 1 at the picture's edge
      if (down < kEdge[severity] + kSag * out * out || out > 1 - 2 * side) continue;
      std::ranges::copy(colour, picture.values.begin() + static_cast<std::ptrdiff_t>(picture.at(y, x)));
    }
  }
}

}  // namespace gsnet::data
