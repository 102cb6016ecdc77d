#include "data/glyph_shapes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace gsnet::data {
namespace {

using Line = std::vector<GlyphPoint>;

constexpr double kTurn = 2 * std::numbers::pi;

/// Points of an arc from angle `from` to `to` (radians, clockwise as y points down), both ends included.
Line arc(GlyphPoint centre, double rx, double ry, double from, double to, int pieces) {
  Line line;
  for (int i = 0; i <= pieces; ++i) {
    const double angle = from + (to - from) * i / pieces;
    line.push_back({centre.x + rx * std::cos(angle), centre.y + ry * std::sin(angle)});
  }
  return line;
}

/// `corners` points whose distance from the middle alternates between the two radii, the first one on top.
Line spiked(int corners, double outer, double inner) {
  Line line;
  for (int i = 0; i < corners; ++i) {
    const double angle = kTurn * i / corners - kTurn / 4, radius = i % 2 == 0 ? outer : inner;
    line.push_back({radius * std::cos(angle), radius * std::sin(angle)});
  }
  return line;
}

Line heart() {
  Line line;
  constexpr int kPieces = 28;
  for (int i = 0; i < kPieces; ++i) {
    const double t = kTurn * i / kPieces, s = std::sin(t);
    const double up = 13 * std::cos(t) - 5 * std::cos(2 * t) - 2 * std::cos(3 * t) - std::cos(4 * t);
    line.push_back({0.95 * s * s * s, -(up + 2.5) / 15.5});
  }
  return line;
}

Line cross() {
  constexpr double kArm = 0.32, kEnd = 0.92;
  return {{-kArm, -kEnd}, {kArm, -kEnd}, {kArm, -kArm}, {kEnd, -kArm}, {kEnd, kArm},   {kArm, kArm},
          {kArm, kEnd},   {-kArm, kEnd}, {-kArm, kArm}, {-kEnd, kArm}, {-kEnd, -kArm}, {-kArm, -kArm}};
}

std::vector<Line> letter_a() { return {{{-0.62, 0.82}, {0, -0.82}, {0.62, 0.82}}, {{-0.4, 0.26}, {0.4, 0.26}}}; }

std::vector<Line> letter_r() {
  Line bowl = arc({0.08, -0.4}, 0.44, 0.42, -kTurn / 4, kTurn / 4, 8);
  bowl.insert(bowl.begin(), {-0.48, -0.82});
  bowl.push_back({-0.48, 0.02});
  return {{{-0.48, -0.82}, {-0.48, 0.82}}, bowl, {{0.02, 0.02}, {0.54, 0.82}}};
}

std::vector<Line> letter_s() {
  Line line = arc({0, -0.41}, 0.5, 0.41, -kTurn * 0.06, -kTurn * 0.75, 12);
  const Line lower = arc({0, 0.41}, 0.5, 0.41, -kTurn * 0.25, kTurn * 0.44, 12);
  line.insert(line.end(), lower.begin() + 1, lower.end());
  return {line};
}

double squared_distance(GlyphPoint p, GlyphPoint a, GlyphPoint b) {
  const double dx = b.x - a.x, dy = b.y - a.y, px = p.x - a.x, py = p.y - a.y;
  const double along = std::clamp((px * dx + py * dy) / std::max(dx * dx + dy * dy, 1e-12), 0.0, 1.0);
  const double ex = px - along * dx, ey = py - along * dy;
  return ex * ex + ey * ey;
}

bool crosses(GlyphPoint p, GlyphPoint a, GlyphPoint b) {
  return (a.y > p.y) != (b.y > p.y) && p.x < a.x + (b.x - a.x) * (p.y - a.y) / (b.y - a.y);
}

}  // namespace

std::vector<Glyph> make_glyph_shapes() {
  return {{"circle", true, {arc({}, 0.85, 0.85, 0, kTurn * 23 / 24, 23)}},
          {"ring", false, {arc({}, 0.68, 0.68, 0, kTurn, 24)}},
          {"square", true, {{{-0.75, -0.75}, {0.75, -0.75}, {0.75, 0.75}, {-0.75, 0.75}}}},
          {"triangle", true, {{{0, -0.9}, {0.92, 0.7}, {-0.92, 0.7}}}},
          {"star", true, {spiked(10, 1.0, 0.42)}},
          {"cross", true, {cross()}},
          {"heart", true, {heart()}},
          {"A", false, letter_a()},
          {"R", false, letter_r()},
          {"S", false, letter_s()}};
}

double distance(const Glyph& glyph, GlyphPoint at, double pen) {
  double nearest = std::numeric_limits<double>::max();
  bool inside = false;
  for (const Line& line : glyph.lines) {
    for (size_t i = glyph.filled ? 0 : 1; i < line.size(); ++i) {
      const GlyphPoint a = line[(i + line.size() - 1) % line.size()], b = line[i];
      nearest = std::min(nearest, squared_distance(at, a, b));
      inside ^= glyph.filled && crosses(at, a, b);
    }
  }
  const double edge = std::sqrt(nearest);
  return glyph.filled ? (inside ? -edge : edge) : edge - pen;
}

}  // namespace gsnet::data
