#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "core/error.h"
#include "core/random.h"
#include "data/dataset.h"
#include "data/files.h"
#include "data/glyph_shapes.h"

namespace gsnet::data {
namespace {

using Colour = std::array<double, 3>;  // 0 to 255

constexpr double kLeastContrast = 60;  // of luminance, 0 to 255
constexpr double kMostTurn = 20 * std::numbers::pi / 180;

double luminance(const Colour& c) { return 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]; }

Colour mix(const Colour& a, const Colour& b, double share) {
  return {a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2])};
}

Colour any_colour(Random& random) {
  const double r = random.uniform(0, 255), g = random.uniform(0, 255), b = random.uniform(0, 255);
  return {r, g, b};
}

/// A map from the figure's square to the picture's, in units of half a side, and its inverse.
struct Placed {
  double a, b, c, d;  // picture = (a b; c d) figure + shift
  double shift_x, shift_y;

  double area() const { return a * d - b * c; }
  GlyphPoint to_figure(double x, double y) const {
    const double u = x - shift_x, v = y - shift_y;
    return {(d * u - b * v) / area(), (a * v - c * u) / area()};
  }
};

Placed draw_place(Random& random) {
  const double turn = random.uniform(-kMostTurn, kMostTurn), scale = random.uniform(0.5, 0.85);
  const double shear = random.uniform(-0.2, 0.2), stretch = random.uniform(0.85, 1.15);
  const double sx = scale * stretch, sy = scale / stretch, cosine = std::cos(turn), sine = std::sin(turn);
  const double room = 0.95 - scale;
  const double shift_x = random.uniform(-room, room), shift_y = random.uniform(-room, room);
  return {sx * cosine, sx * shear * cosine - sy * sine, sx * sine, sx * shear * sine + sy * cosine, shift_x, shift_y};
}

/// Two colours, one wave and one stray line: something to look past.
struct Ground {
  Colour from, to;
  double direction_x, direction_y;
  double wave_x, wave_y, phase, swing;
  Colour stray;
  Glyph line;
};

Ground draw_ground(Random& random) {
  Ground ground;
  ground.from = any_colour(random);
  ground.to = mix(ground.from, any_colour(random), 0.45);
  const double direction = random.uniform(0, 2 * std::numbers::pi);
  ground.direction_x = std::cos(direction);
  ground.direction_y = std::sin(direction);
  ground.wave_x = random.uniform(-8, 8);
  ground.wave_y = random.uniform(-8, 8);
  ground.phase = random.uniform(0, 2 * std::numbers::pi);
  ground.swing = random.uniform(0, 16);
  ground.stray = mix(ground.from, any_colour(random), 0.5);
  const GlyphPoint middle{random.uniform(-1, 1), random.uniform(-1, 1)};
  const double x = random.uniform(-1, 1), y = random.uniform(-1, 1);
  ground.line = {"", false, {{{middle.x - x, middle.y - y}, {middle.x + x, middle.y + y}}}};
  return ground;
}

double coverage(double distance_pixels) { return std::clamp(0.5 - distance_pixels, 0.0, 1.0); }

Colour ground_at(const Ground& ground, double x, double y, double half_side) {
  const double along = 0.5 + 0.35 * (x * ground.direction_x + y * ground.direction_y);
  const double wave = ground.swing * std::sin(ground.wave_x * x + ground.wave_y * y + ground.phase);
  Colour colour = mix(ground.from, ground.to, along);
  for (double& c : colour) c += wave;
  return mix(colour, ground.stray, coverage(distance(ground.line, {x, y}, 0.05) * half_side));
}

/// A colour whose luminance differs from both ends of the ground by kLeastContrast; black or white if luck fails.
Colour draw_ink(Random& random, const Ground& ground) {
  const double low = std::min(luminance(ground.from), luminance(ground.to));
  const double high = std::max(luminance(ground.from), luminance(ground.to));
  for (int attempt = 0; attempt < 16; ++attempt) {
    const Colour ink = any_colour(random);
    if (luminance(ink) <= low - kLeastContrast || luminance(ink) >= high + kLeastContrast) return ink;
  }
  return low > 255 - high ? Colour{0, 0, 0} : Colour{255, 255, 255};
}

class Glyphs final : public Dataset {
 public:
  explicit Glyphs(const GlyphsSpec& spec) : spec_(spec), shapes_(make_glyph_shapes()) {
    GSNET_CHECK(spec.size >= 1, fmt::format("glyphs: {} pictures, expected at least 1", spec.size));
    GSNET_CHECK(spec.side >= 16 && spec.side <= 1024, fmt::format("glyphs: side {}, expected 16 to 1024", spec.side));
    for (const Glyph& glyph : shapes_) names_.push_back(glyph.name);
  }

  int64_t size() const override { return spec_.size; }
  PictureShape picture() const override { return {3, spec_.side, spec_.side}; }
  const std::vector<std::string>& class_names() const override { return names_; }

  int label(int64_t i) const override {
    check_index("glyphs", i, size());
    return static_cast<int>(i % static_cast<int64_t>(names_.size()));
  }

  std::string name(int64_t i) const override {
    check_index("glyphs", i, size());
    return fmt::format("glyphs[{}]", i);
  }

  void read(int64_t i, std::span<uint8_t> pixels) const override {
    check_read("glyphs", i, size(), picture(), pixels);
    Random random(RandomKey(spec_.seed).with(static_cast<uint64_t>(i)));
    draw(shapes_[static_cast<size_t>(label(i))], random, pixels);
  }

 private:
  void draw(const Glyph& glyph, Random& random, std::span<uint8_t> pixels) const {
    const Placed place = draw_place(random);
    const Ground ground = draw_ground(random);
    const Colour ink = draw_ink(random, ground), ink_end = mix(ink, ground.to, random.uniform(0, 0.25));
    const double pen = random.uniform(0.11, 0.22), noise = random.uniform(2, 14);
    const double half = spec_.side / 2.0, pixels_per_unit = half * std::sqrt(place.area());
    size_t at = 0;
    for (int row = 0; row < spec_.side; ++row) {
      for (int column = 0; column < spec_.side; ++column) {
        const double x = (column + 0.5) / half - 1, y = (row + 0.5) / half - 1;
        const GlyphPoint figure = place.to_figure(x, y);
        const Colour inked = mix(ink, ink_end, std::clamp(0.5 + 0.5 * figure.y, 0.0, 1.0));
        const double share = coverage(distance(glyph, figure, pen) * pixels_per_unit);
        for (const double value : mix(ground_at(ground, x, y, half), inked, share)) {
          pixels[at++] = static_cast<uint8_t>(std::clamp(std::lround(value + noise * random.normal()), 0L, 255L));
        }
      }
    }
  }

  GlyphsSpec spec_;
  std::vector<Glyph> shapes_;
  std::vector<std::string> names_;
};

}  // namespace

std::shared_ptr<const Dataset> make_glyphs(const GlyphsSpec& spec) { return std::make_shared<Glyphs>(spec); }

}  // namespace gsnet::data
