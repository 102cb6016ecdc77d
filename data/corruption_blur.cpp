// Corruptions that mix neighbouring pixels. Edges repeat.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "data/corruption_kinds.h"

namespace gsnet::data {
namespace {

struct Tap {
  int at;
  double weight;
};
/// What each place of a line is made of.
using Taps = std::vector<std::vector<Tap>>;

double bell(double x, double deviation) { return std::exp(-x * x / (2 * deviation * deviation)); }

Taps gaussian_taps(int length, double deviation) {
  const int reach = static_cast<int>(std::ceil(4 * deviation));
  double sum = 0;
  for (int t = -reach; t <= reach; ++t) sum += bell(t, deviation);
  Taps taps(static_cast<size_t>(length));
  for (int i = 0; i < length; ++i) {
    for (int t = -reach; t <= reach; ++t) {
      taps[static_cast<size_t>(i)].push_back({std::clamp(i + t, 0, length - 1), bell(t, deviation) / sum});
    }
  }
  return taps;
}

/// Means over `to` <= `from` equal pieces.
Taps area_taps(int from, int to) {
  Taps taps(static_cast<size_t>(to));
  const double step = static_cast<double>(from) / to;
  for (int i = 0; i < to; ++i) {
    for (int k = static_cast<int>(i * step); k < from && k < (i + 1) * step; ++k) {
      const double covered = std::min(k + 1.0, (i + 1) * step) - std::max<double>(k, i * step);
      taps[static_cast<size_t>(i)].push_back({k, covered / step});
    }
  }
  return taps;
}

Taps linear_taps(int from, int to) {
  Taps taps(static_cast<size_t>(to));
  for (int i = 0; i < to; ++i) {
    const double place = std::clamp((i + 0.5) * from / to - 0.5, 0.0, from - 1.0);
    const int low = static_cast<int>(place);
    taps[static_cast<size_t>(i)] = {{low, low + 1 - place}, {std::min(low + 1, from - 1), place - low}};
  }
  return taps;
}

/// Mixes pixels down the columns, or along the rows.
Pixels mixed(const Pixels& from, const Taps& taps, bool down) {
  const auto& [channels, height, width] = from.shape;
  const int length = static_cast<int>(taps.size());
  Pixels to{{channels, down ? length : height, down ? width : length}, {}};
  to.values.resize(static_cast<size_t>(to.shape.numel()));
  for (int y = 0; y < to.shape.height; ++y) {
    for (int x = 0; x < to.shape.width; ++x) {
      for (const Tap& tap : taps[static_cast<size_t>(down ? y : x)]) {
        const float* source = &from.values[down ? from.at(tap.at, x) : from.at(y, tap.at)];
        float* target = &to.values[to.at(y, x)];
        for (int c = 0; c < channels; ++c) target[c] += static_cast<float>(tap.weight) * source[c];
      }
    }
  }
  return to;
}

void blur(Pixels& picture, double deviation) {
  if (!(deviation > 0)) return;
  picture = mixed(picture, gaussian_taps(picture.shape.height, deviation), true);
  picture = mixed(picture, gaussian_taps(picture.shape.width, deviation), false);
}

/// A part of a kernel: the picture moved by (dy, dx), fractions interpolated.
struct Shift {
  double dy, dx, weight;
};

void add_shifted(const Pixels& from, const Shift& shift, Pixels& to) {
  const auto& [channels, height, width] = from.shape;
  const int down = static_cast<int>(std::floor(shift.dy)), right = static_cast<int>(std::floor(shift.dx));
  const double fy = shift.dy - down, fx = shift.dx - right;
  const std::array corner = {(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx};
  for (int k = 0; k < 4; ++k) {
    const auto weight = static_cast<float>(shift.weight * corner[static_cast<size_t>(k)]);
    if (weight == 0) continue;
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const size_t source =
            from.at(std::clamp(y + down + k / 2, 0, height - 1), std::clamp(x + right + k % 2, 0, width - 1));
        const size_t target = to.at(y, x);
        for (size_t c = 0; c < static_cast<size_t>(channels); ++c)
          to.values[target + c] += weight * from.values[source + c];
      }
    }
  }
}

void convolve(Pixels& picture, const std::vector<Shift>& kernel) {
  double sum = 0;
  for (const Shift& shift : kernel) sum += shift.weight;
  Pixels result{picture.shape, std::vector<float>(picture.values.size())};
  for (const Shift& shift : kernel) add_shifted(picture, {shift.dy, shift.dx, shift.weight / sum}, result);
  picture = std::move(result);
}

}  // namespace

void gaussian_blur(Pixels& picture, size_t severity, Random&) {
  constexpr std::array kDeviation = {0.4, 0.6, 0.7, 0.8, 1.0};
  blur(picture, kDeviation[severity] * picture.scale());
}

void low_resolution(Pixels& picture, size_t severity, Random&) {
  constexpr std::array kShare = {0.75, 0.6, 0.5, 0.375, 0.25};
  for (const bool down : {true, false}) {
    const int side = down ? picture.shape.height : picture.shape.width;
    const int part = std::max(1, static_cast<int>(std::lround(side * kShare[severity])));
    picture = mixed(mixed(picture, area_taps(side, part), down), linear_taps(part, side), down);
  }
}

void distant(Pixels& picture, size_t severity, Random& random) {
  constexpr std::array kShare = {28.0 / 112, 24.0 / 112, 20.0 / 112, 17.0 / 112, 14.0 / 112};
  constexpr std::array kBlur = {0.3, 0.35, 0.4, 0.45, 0.5};
  constexpr std::array kNoise = {0.01, 0.015, 0.02, 0.025, 0.03};
  const PictureShape shape = picture.shape;
  const auto part = [&](int side) { return std::max(1, static_cast<int>(std::lround(side * kShare[severity]))); };
  blur(picture, kBlur[severity] / kShare[severity]);
  picture = mixed(picture, area_taps(shape.height, part(shape.height)), true);
  picture = mixed(picture, area_taps(shape.width, part(shape.width)), false);
  for (float& v : picture.values) v += static_cast<float>(kNoise[severity] * random.normal());
  picture = mixed(picture, linear_taps(part(shape.height), shape.height), true);
  picture = mixed(picture, linear_taps(part(shape.width), shape.width), false);
}

void motion_blur(Pixels& picture, size_t severity, Random& random) {
  constexpr std::array kReach = {12, 12, 12, 16, 18};
  constexpr std::array kDeviation = {1.0, 1.5, 2.0, 2.0, 2.5};
  const double angle = random.uniform(-45, 45) * std::numbers::pi / 180, scale = picture.scale();
  std::vector<Shift> trail;
  for (int t = 0; t <= kReach[severity] * scale; ++t) {
    const double weight = bell(t, kDeviation[severity] * scale);
    if (weight > 1e-6) trail.push_back({t * std::sin(angle), t * std::cos(angle), weight});
  }
  convolve(picture, trail);
}

void defocus_blur(Pixels& picture, size_t severity, Random&) {
  constexpr std::array kRadius = {0.3, 0.4, 0.5, 1.0, 1.5}, kSoftness = {0.4, 0.5, 0.6, 0.2, 0.1};
  const double radius = kRadius[severity], softness = kSoftness[severity], scale = picture.scale();
  const int inner = static_cast<int>(radius);
  std::vector<Shift> kernel;  // the disk's points, each softened over its eight neighbours
  for (int v = -inner; v <= inner; ++v) {
    for (int u = -inner; u <= inner; ++u) {
      if (v * v + u * u > radius * radius) continue;
      for (int k = 0; k < 9; ++k) {
        const int dy = k / 3 - 1, dx = k % 3 - 1;
        const double weight = bell(dy, softness) * bell(dx, softness);
        if (weight > 1e-9) kernel.push_back({(v + dy) * scale, (u + dx) * scale, weight});
      }
    }
  }
  blur(picture, 0.4 * std::sqrt(std::max(0.0, scale * scale - 1)));  // fills the gaps between them
  convolve(picture, kernel);
}

}  // namespace gsnet::data
