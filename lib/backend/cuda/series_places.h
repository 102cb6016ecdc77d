// The fused series on tensor cores: warps together.
#pragma once

#include "backend/cuda/series_parts.h"
#include "backend/cuda/warp_product.h"

namespace gsnet::cuda {

/// On tensor cores: a map is (row, column, channel) with a border of zeros, `together` images' maps one after another,
/// twice. Outputs are squares of 16 neighbouring places, borders among them, by 16 channels; what falls on borders is
/// not used. Places are 16 bytes further apart than their channels need, so that eight of them lie in all banks.
template <class Number, int kColumns>
struct PlaceMap : TeamShape {
  static constexpr int kSide = 16, kRows = 2, kColumnsOfSquares = kColumns;
  using Sums = WarpSums<Number, kRows, kColumns>;

  PlaceMap(const Shape& x, const Shape& k, int64_t most_shared) : TeamShape(x, k) {
    constexpr int kEnough = 2 * kMostTeamThreads / kWarpThreads;
    while (together < images && together * pieces() < kEnough && 2 * shared_floats() * 4 * 4 <= most_shared) {
      together *= 2;
    }
  }

  GSNET_ANYWHERE int line() const { return width + 2 * wide; }
  /// Place of the first pixel.
  GSNET_ANYWHERE int corner() const { return high * line() + wide; }
  GSNET_ANYWHERE int squares() const {
    const int used = (height - 1) * line() + width;
    return (used + kSide * kRows - 1) / (kSide * kRows) * kRows;
  }
  /// Of a map: up to what the last square's last tap reads.
  GSNET_ANYWHERE int places() const { return 2 * corner() + squares() * kSide; }
  GSNET_ANYWHERE int step() const { return m + kChunk<Number>; }
  GSNET_ANYWHERE int map() const { return places() * step(); }
  /// A warp's pieces of work in a map.
  GSNET_ANYWHERE int pieces() const { return squares() / kRows * (m / (kSide * kColumns)); }
  /// Where places lie in device memory comes first.
  GSNET_ANYWHERE int table() const { return squares() * kSide; }
  GSNET_ANYWHERE int map_floats() const { return together * map() / (4 / static_cast<int>(sizeof(Number))); }
  int64_t shared_floats() const {
    return table() + int64_t{2} * together * places() * step() * static_cast<int64_t>(sizeof(Number)) / 4;
  }
  /// As few warps as take as many turns.
  int threads() const {
    constexpr int kMostWarps = kMostTeamThreads / kWarpThreads;
    const int wanted = together * pieces(), turns = (wanted + kMostWarps - 1) / kMostWarps;
    return (wanted + turns - 1) / turns * kWarpThreads;
  }
};

/// Kernels as right factors of products: (g; columns; tap, depth, column; block), and one of zeros, read but not used.
template <class Map, class Number>
Tensor place_taps(Runtime& runtime, const Map& map, const Tensor& k, Number) {
  using Sums = typename Map::Sums;
  constexpr int64_t kBlock = Sums::kBlock, kColumns = Map::kColumnsOfSquares, kDepth = Sums::kDepth;
  const int64_t size = k.numel(), bytes = static_cast<int64_t>(sizeof(Number));
  Tensor made = Tensor::empty({(size + kBlock * kColumns) * bytes}, DType::u8, Layout::row_major, runtime.memory());
  const int64_t m = map.m, taps = map.taps(), chunks = m / (Sums::kSide * kColumns);
  const float* from = k.data<float>();
  auto* to = static_cast<Number*>(made.raw());
  for_each(runtime.stream(), size + kBlock * kColumns, [=] GSNET_DEVICE(int64_t e) {
    if (e >= size) return put(to[e], 0.0F);
    const RightPlace<Number> place(static_cast<int>(e % kBlock));
    const int64_t block = e / kBlock, c = block % kColumns, depth = block / kColumns % (m / kDepth);
    const int64_t tap = block / (kColumns * (m / kDepth)) % taps,
                  chunk = e / (Sums::kSide * kColumns * m * taps) % chunks;
    const int64_t group = e / (m * m * taps);
    const int64_t o = (chunk * kColumns + c) * Sums::kSide + place.column, i = depth * kDepth + place.k;
    put(to[e], from[((group * m + o) * m + i) * taps + tap]);
  });
  return made;
}

/// What a team does.
template <class Number, int kColumns, class Ends>
struct PlaceWork {
  using Map = PlaceMap<Number, kColumns>;
  using Sums = typename Map::Sums;
  static constexpr int kSide = Sums::kSide, kRows = Map::kRows;

  Map map;
  Ends ends;
  const Number* taps;

  GSNET_DEVICE void operator()(const Team& team, int64_t index) const {
    const TeamPlace at(map, index);
    const int line = map.line(), depth = map.step(), size = map.map();
    auto* pixel_of = reinterpret_cast<int*>(team.shared);
    auto* numbers = reinterpret_cast<Number*>(team.shared + map.table());
    team.each(2 * map.map_floats() / 4, [&](int i) { put_run(team.shared + map.table() + 4 * i, Run<4>{}); });
    team.each(map.table(), [&](int place) {
      const int row = place / line, column = place % line;
      pixel_of[place] = row < map.height && column < map.width ? (row * map.width + column) * map.channels : -1;
    });
    enter(team, at, numbers);
    const int columns = map.m / (kSide * kColumns), pieces = map.pieces();
    const int chunk = map.taps() * map.m * kSide * kColumns;
    const Number* own = taps + int64_t{at.group} * chunk * columns;
    for (int step = 0; step < ends.steps(); ++step) {
      const Number* before = numbers + step % 2 * map.together * size;
      Number* after = numbers + (step + 1) % 2 * map.together * size;
      team.each_warp(at.images * pieces, [&](int item) {
        const int of = item / pieces, piece = item % pieces;
        const int square = piece / columns * kRows, column = piece % columns;
        const Number* window = before + of * size + square * kSide * depth;
        const Number* right = own + column * chunk;
        Sums sums(right);
        for (int u = 0; u <= 2 * map.high; ++u) {
          for (int v = 0; v <= 2 * map.wide; ++v) {
            const Number* place = window + (u * line + v) * depth;
            for (int i = 0; i < map.m; i += Sums::kDepth) {
              right += kColumns * Sums::kBlock;
              sums.add(place + i, depth, right);
            }
          }
        }
        const int first = column * kSide * kColumns;
        leave(sums, at, of, first, step, pixel_of + square * kSide,
              after + of * size + (map.corner() + square * kSide) * depth + first);
      });
    }
  }

  GSNET_DEVICE void enter(const Team& team, const TeamPlace& at, Number* numbers) const {
    const auto place = [&](int i) { return RunPlace(map, at, 4, i); };
    team.move(
        at.images * map.pixels() * (map.m / 4), [&](int i) { return ends.template given<4>(place(i).at); },
        [&](int i, const Run<4>& given) {
          const RunPlace p = place(i);
          const int inner = map.corner() + p.row * map.line() + p.column;
          put_run(numbers + p.of * map.map() + inner * map.step() + p.channel, ends.start(p.at, given));
        });
  }

  /// What a step makes of a warp's sums of an image, from channel `first` on, into the map for the next one.
  GSNET_DEVICE void leave(const Sums& sums, const TeamPlace& at, int of, int first, int step, const int* pixel_of,
                          Number* next_map) const {
    const int64_t start = map.start(at.first + of, at.group) + first;
    const int channel = at.group * map.m + first, depth = map.step();
    const bool goes_on = step + 1 < ends.steps();
    sums.each_pair(
        [&](int place, int o) {
          const int pixel = pixel_of[place];
          return pixel < 0 ? Run<2>{} : ends.template before<2>(start + pixel + o);
        },
        [&](int place, int o, const Run<2>& before, const Run<2>& sum) {
          const int pixel = pixel_of[place];
          if (pixel < 0) return;
          const Run<2> next = ends.next(step, start + pixel + o, channel + o, before, sum);
          if (goes_on) put_run(next_map + place * depth + o, next);
        });
  }
};

template <class Number, int kColumns, class Ends>
void run_places(Runtime& runtime, const PlaceMap<Number, kColumns>& map, const Tensor& k, const Ends& ends) {
  const Tensor arranged = place_taps(runtime, map, k, Number{});
  constexpr int kAtOnce = kColumns > 2 ? 1 : 2;  // as many as there are registers for
  for_teams<TeamSize<kMostTeamThreads, kAtOnce>>(
      runtime.stream(), map.teams(), map.threads(), map.shared_floats(),
      PlaceWork<Number, kColumns, Ends>{map, ends, static_cast<const Number*>(arranged.raw())});
}

}  // namespace gsnet::cuda
