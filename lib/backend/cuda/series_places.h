// The fused series on tensor cores: warps together.
#pragma once

#include "backend/cuda/series_parts.h"

namespace gsnet::cuda {

/// On tensor cores: a map is (row, column, channel) with a border of zeros, `together` images' maps one after another,
/// twice. Outputs are squares of 16 neighbouring places, borders among them, by 16 channels; what falls on borders is
/// not used.
struct PlaceMap : GroupShape {
  static constexpr int kSide = 16, kRows = 2;
  int64_t together = 1;

  using GroupShape::GroupShape;

  GSNET_ANYWHERE int64_t first() const { return high * line() + wide; }
  GSNET_ANYWHERE int64_t squares() const {
    const int64_t places = (height - 1) * line() + width;
    return (places + kSide * kRows - 1) / (kSide * kRows) * kRows;
  }
  /// Of a map: up to what the last square's last tap reads.
  GSNET_ANYWHERE int64_t places() const { return 2 * first() + squares() * kSide; }
  GSNET_ANYWHERE int64_t map() const { return places() * m; }
  GSNET_ANYWHERE int64_t maps() const { return together * map(); }
  /// A warp's pieces of work in a map.
  GSNET_ANYWHERE int64_t pieces(int columns) const { return squares() / kRows * (m / (kSide * columns)); }
  GSNET_ANYWHERE int64_t scratch_floats() const { return kTeamWarps * kSide * kSide; }
  template <class Number>
  GSNET_ANYWHERE int64_t shared_floats() const {
    return scratch_floats() + (2 * maps() * static_cast<int64_t>(sizeof(Number)) + 3) / 4;
  }
};

/// Images that a team takes together, so that its warps have work.
template <class Number>
PlaceMap together_map(const Runtime& runtime, const Shape& x, const Shape& k, int columns) {
  PlaceMap map(x, k);
  const auto grown = [&] {
    PlaceMap more = map;
    more.together *= 2;
    return more;
  };
  while (map.together < map.images && map.together * map.pieces(columns) < 2 * kTeamWarps &&
         grown().template shared_floats<Number>() * 8 <= runtime.most_shared()) {
    map = grown();
  }
  return map;
}

template <class Number, int kColumns, class Ends>
void run_places(Runtime& runtime, const PlaceMap& map, const Tensor& k, const Ends& ends) {
  using Sums = WarpSums<Number, PlaceMap::kRows, kColumns>;
  constexpr int kSide = PlaceMap::kSide;
  const Tensor arranged = taps_of<Number>(runtime, k);
  const auto* taps = static_cast<const Number*>(arranged.raw());
  const int64_t shared = map.shared_floats<Number>(), blocks = (map.images + map.together - 1) / map.together;
  for_teams(runtime.stream(), blocks * map.groups(), shared, [=] GSNET_DEVICE(Team team, int64_t index) {
    const int64_t image = index / map.groups() * map.together, group = index % map.groups();
    const int64_t images = map.images - image < map.together ? map.images - image : map.together;
    auto* numbers = reinterpret_cast<Number*>(team.shared + map.scratch_floats());
    team.each(shared, [&](int64_t i) { team.shared[i] = 0; });
    team.each(images * map.pixels() * map.m, [&](int64_t i) {
      const int64_t c = i % map.m, p = i / map.m % map.pixels(), of = i / (map.m * map.pixels());
      put(numbers[of * map.map() + map.inner(p) * map.m + c], ends.start(map.outer(image + of, group, p, c)));
    });
    const Number* own = taps + group * map.taps() * map.m * map.m;
    const int64_t pieces = map.pieces(kColumns), columns = map.m / (kSide * kColumns);
    for (int step = 0; step < ends.steps(); ++step) {
      const Number* before = numbers + step % 2 * map.maps();
      Number* after = numbers + (step + 1) % 2 * map.maps();
      team.each_warp(images * pieces, [&](int64_t item, int warp) {
        const int64_t of = item / pieces, piece = item % pieces;
        const int64_t square = piece / columns * PlaceMap::kRows, channel = piece % columns * kSide * kColumns;
        const Number* window = before + of * map.map() + square * kSide * map.m;
        const Number* weights = own + channel;
        Sums sums;
        for (int64_t u = 0; u <= 2 * map.high; ++u) {
          for (int64_t v = 0; v <= 2 * map.wide; ++v) {
            const Number* place = window + (u * map.line() + v) * map.m;
            for (int64_t i = 0; i < map.m; i += Sums::kDepth, weights += Sums::kDepth * map.m) {
              sums.add(place + i, map.m, weights, map.m);
            }
          }
        }
        float* scratch = team.shared + warp * kSide * kSide;
        for (int r = 0; r < PlaceMap::kRows; ++r) {
          for (int c = 0; c < kColumns; ++c) {
            sums.store(r, c, scratch);
            each_lane(kSide * kSide, [&](int64_t i) {
              const int64_t place = (square + r) * kSide + i / kSide, o = channel + c * kSide + i % kSide;
              const int64_t row = place / map.line(), column = place % map.line();
              if (row >= map.height || column >= map.width) return;
              const int64_t p = row * map.width + column;
              const float next = ends.next(step, map.outer(image + of, group, p, o), scratch[i]);
              if (step + 1 < ends.steps()) put(after[of * map.map() + map.inner(p) * map.m + o], next);
            });
          }
        }
      });
    }
  });
}

}  // namespace gsnet::cuda
