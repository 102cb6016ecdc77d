#include "data/align.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>

#include "core/error.h"
#include "core/text.h"
#include "data/files.h"
#include "data/picture_library.h"

namespace gsnet::data {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 30;
constexpr Landmarks kTemplate112 = {
    {{38.2946, 51.6963}, {73.5318, 51.5014}, {56.0252, 71.7366}, {41.5493, 92.3655}, {70.7299, 92.2041}}};

bool parse(const std::string& text, double& value) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

/// Eleven fields of which but the first none is a number.
bool is_titles(const std::vector<std::string>& fields) {
  double ignored = 0;
  return fields.size() == 11 &&
         std::none_of(fields.begin() + 1, fields.end(), [&](const std::string& text) { return parse(text, ignored); });
}

Landmarks parse_landmarks(const std::vector<std::string>& fields) {
  GSNET_CHECK(fields.size() == 11, fmt::format("expected a name and ten numbers, got {} fields", fields.size()));
  Landmarks points;
  for (size_t i = 0; i < points.size(); ++i) {
    GSNET_CHECK(parse(fields[1 + 2 * i], points[i].x) && parse(fields[2 + 2 * i], points[i].y),
                fmt::format("point {} is ('{}', '{}'), expected numbers", i + 1, shown(fields[1 + 2 * i]),
                            shown(fields[2 + 2 * i])));
  }
  return points;
}

void check_inside(const PictureShape& shape, const Landmarks& landmarks, const std::string& name) {
  for (size_t i = 0; i < landmarks.size(); ++i) {
    const auto [x, y] = landmarks[i];
    GSNET_CHECK(x >= 0 && y >= 0 && x < shape.width && y < shape.height,
                fmt::format("{}: landmark {} at ({}, {}) is outside the picture of {} x {}", name, i + 1, x, y,
                            shape.width, shape.height));
  }
}

}  // namespace

Landmarks face_template(int side) {
  const bool wide = side % 112 != 0 && side % 128 == 0;
  const double scale = side / (wide ? 128.0 : 112.0);
  Landmarks points = kTemplate112;
  for (Point& p : points) p = {(p.x + (wide ? 8 : 0)) * scale, p.y * scale};
  return points;
}

Similarity nearest_similarity(const Landmarks& from, const Landmarks& to) {
  Point p, q;  // centres
  for (size_t i = 0; i < from.size(); ++i) {
    p = {p.x + from[i].x / 5, p.y + from[i].y / 5};
    q = {q.x + to[i].x / 5, q.y + to[i].y / 5};
  }
  double spread = 0, along = 0, across = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    const double x = from[i].x - p.x, y = from[i].y - p.y, s = to[i].x - q.x, t = to[i].y - q.y;
    spread += x * x + y * y;
    along += x * s + y * t;
    across += x * t - y * s;
  }
  GSNET_CHECK(spread > 1e-12, "the five landmarks are one point");
  const double a = along / spread, b = across / spread;
  return {a, b, q.x - a * p.x + b * p.y, q.y - b * p.x - a * p.y};
}

Picture align_face(const Picture& picture, const Landmarks& landmarks, int side, const std::string& name) {
  check_inside(picture.shape, landmarks, name);
  const PictureLibrary& library = picture_library(name);
  try {
    return library.warped(picture, nearest_similarity(landmarks, face_template(side)), side);
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", name, error.what()));
  } catch (const std::runtime_error& failure) {
    throw Error(fmt::format("{}: it cannot be aligned: {}", name, failure.what()));
  }
}

std::vector<std::optional<Landmarks>> read_landmarks(const std::filesystem::path& path, const PictureIndex& index,
                                                     int64_t& unknown) {
  const std::vector<NumberedLine> lines = numbered_lines(path, kMostBytes);
  std::vector<std::optional<Landmarks>> found(index.paths().size());
  unknown = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::vector<std::string> fields = split_fields(lines[i].text);
    if (i == 0 && is_titles(fields)) continue;
    try {
      const Landmarks points = parse_landmarks(fields);
      const std::optional<size_t> picture = index.find(fields[0]);
      if (!picture) {
        ++unknown;
        continue;
      }
      GSNET_CHECK(!found[*picture], fmt::format("'{}' is named for the second time", shown(fields[0])));
      found[*picture] = points;
    } catch (const Error& error) {
      throw Error(fmt::format("{}: line {}: {}", path.string(), lines[i].number, error.what()));
    }
  }
  return found;
}

}  // namespace gsnet::data
