// Outlines of the ten embedded classes and how far a point is from them.
#pragma once

#include <string>
#include <vector>

namespace gsnet::data {

struct GlyphPoint {
  double x = 0;
  double y = 0;
};

/// Figures lie in the square [-1, 1]^2, y downwards.
struct Glyph {
  std::string name;
  bool filled = true;  ///< one closed polygon that is filled; else lines drawn with a pen
  std::vector<std::vector<GlyphPoint>> lines;
};

/// circle, ring, square, triangle, star, cross, heart, A, R, S.
std::vector<Glyph> make_glyph_shapes();

/// Signed distance from the figure, negative inside; `pen` is half the width of the lines of those not filled.
double distance(const Glyph& glyph, GlyphPoint at, double pen);

}  // namespace gsnet::data
