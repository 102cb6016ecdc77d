// Faces to the usual place: five points onto a template.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <vector>

#include "data/decode.h"
#include "data/picture_index.h"

namespace gsnet::data {

struct Point {
  double x = 0, y = 0;  ///< pixels, the centre of the upper left one is (0, 0)
};

/// Eyes, nose, corners of the mouth; left ones of the picture first.
using Landmarks = std::array<Point, 5>;

/// x -> (a x - b y + u, b x + a y + v): a rotation and a scale, no reflection.
struct Similarity {
  double a = 1, b = 0, u = 0, v = 0;

  Point operator()(const Point& p) const { return {a * p.x - b * p.y + u, b * p.x + a * p.y + v}; }
};

/// Where the points belong in a square picture: the template of 112 x 112 of ArcFace, scaled by side / 112; for
/// multiples of 128 by side / 128, 8 side / 128 further right, as insightface does. Other sides: side / 112.
Landmarks face_template(int side);

/// The similarity that brings `from` nearest to `to` in the sum of squared distances (Umeyama, PAMI 1991, without
/// reflection). Throws Error where all points of `from` are one.
Similarity nearest_similarity(const Landmarks& from, const Landmarks& to);

/// The face of a picture on face_template(side): bilinear, black beyond the picture. Throws Error starting with `name`
/// for a landmark outside the picture, and where there is no picture library.
Picture align_face(const Picture& picture, const Landmarks& landmarks, int side, const std::string& name);

/// Reads "name x1 y1 ... x5 y5", one picture a line, with commas, tabs or blanks between; a first line of titles is
/// passed over. Gives the landmarks of every picture of the index that is named. Throws Error with file and line, also
/// for a picture named twice; names that are no picture's are counted in `unknown`.
std::vector<std::optional<Landmarks>> read_landmarks(const std::filesystem::path& path, const PictureIndex& index,
                                                     int64_t& unknown);

}  // namespace gsnet::data
