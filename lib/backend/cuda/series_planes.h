// The fused series in single precision: every thread by itself.
#pragma once

#include "backend/cuda/series_parts.h"

namespace gsnet::cuda {

/// In single precision: a map is (channel, row, column) with a border of zeros. A thread sums 2 x 4 pixels of some
/// channels: what it reads of a row serves all taps of that row. Where every tile of a team has a thread, sums wait in
/// registers until all have read, and go where the map was; else there are two maps.
struct PlaneMap : TeamShape {
  static constexpr int kRows = 2, kColumns = 4;

  PlaneMap(const Shape& x, const Shape& k, int64_t most_shared);

  GSNET_ANYWHERE int tile_rows() const { return (height + kRows - 1) / kRows; }
  GSNET_ANYWHERE int tile_columns() const { return (width + kColumns - 1) / kColumns; }
  /// Channels of a tile: what fits a register file, and no more than there are.
  GSNET_ANYWHERE int tile_channels() const { return m % 4 == 0 && m > 4 ? 8 : 4; }
  GSNET_ANYWHERE int chunks() const { return (m + tile_channels() - 1) / tile_channels(); }
  /// Of an image.
  GSNET_ANYWHERE int tiles() const { return tile_rows() * tile_columns() * chunks(); }
  /// Output channels as taps have them: those past the last one are zeros.
  GSNET_ANYWHERE int outs() const { return chunks() * tile_channels(); }

  /// Floats from a row to the next, and of a plane, so that runs of 4 lie at multiples of 16 bytes.
  GSNET_ANYWHERE int line() const { return (tile_columns() * kColumns + 2 * wide + 3) / 4 * 4; }
  GSNET_ANYWHERE int plane() const { return (tile_rows() * kRows + 2 * high) * line(); }
  GSNET_ANYWHERE int map() const { return m * plane(); }
  GSNET_ANYWHERE int maps() const { return together * tiles() <= kMostTeamThreads ? 1 : 2; }
  int64_t shared_floats() const { return int64_t{maps()} * together * m * plane(); }
  int threads() const {
    const int wanted = (together * tiles() + kWarpThreads - 1) / kWarpThreads * kWarpThreads;
    return wanted < kMostTeamThreads ? wanted : kMostTeamThreads;
  }
};

/// More images together where one has few tiles.
inline PlaneMap::PlaneMap(const Shape& x, const Shape& k, int64_t most_shared) : TeamShape(x, k) {
  constexpr int kEnough = 64;
  while (together < images && 2 * together * tiles() <= kEnough && 2 * shared_floats() * 4 * 4 <= most_shared) {
    together *= 2;
  }
}

/// Kernels as (g; row of taps, in, tap of the row, out).
inline Tensor plane_taps(Runtime& runtime, const PlaneMap& map, const Tensor& k) {
  const int64_t outs = map.outs(), m = map.m, across = map.line_taps(), down = 2 * map.high + 1;
  Tensor made =
      Tensor::empty({k.shape()[0] / m, down * m * across * outs}, DType::f32, Layout::row_major, runtime.memory());
  const float* from = k.data<float>();
  float* to = made.data<float>();
  for_each(runtime.stream(), made.numel(), [=] GSNET_DEVICE(int64_t e) {
    const int64_t o = e % outs, v = e / outs % across, i = e / (outs * across) % m, u = e / (outs * across * m) % down;
    const int64_t group = e / (outs * across * m * down);
    to[e] = o < m ? from[(((group * m + o) * m + i) * down + u) * across + v] : 0.0F;
  });
  return made;
}

/// Sums of one tile.
template <int kChannels>
struct TileSums {
  static constexpr int kRows = PlaneMap::kRows, kColumns = PlaneMap::kColumns;
  float of[kRows][kColumns][kChannels];

  /// J times a map, whose first number that the tile reads is `from`; taps of the group, from its first channel on.
  GSNET_DEVICE void make(const PlaneMap& map, const float* from, const float* taps) {
    GSNET_UNROLL
    for (int r = 0; r < kRows; ++r) {
      GSNET_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        GSNET_UNROLL
        for (int o = 0; o < kChannels; ++o) of[r][c][o] = 0;
      }
    }
    if (map.wide == 1) {
      add<3>(map, from, taps);
    } else {
      add<1>(map, from, taps);
    }
  }

  /// By so many neighbouring taps at once.
  template <int kTaps>
  GSNET_DEVICE void add(const PlaneMap& map, const float* from, const float* taps) {
    const int line = map.line(), plane = map.plane(), outs = map.outs(), m = map.m;
    for (int u = 0; u <= 2 * map.high; ++u) {
      const float* window = from + u * line;
      for (int i = 0; i < m; ++i, window += plane) {
        for (int v = 0; v < map.line_taps(); v += kTaps, taps += kTaps * outs) {
          add_rows<kTaps>(window + v, line, taps, outs);
        }
      }
    }
  }

  template <int kTaps>
  GSNET_DEVICE void add_rows(const float* window, int line, const float* taps, int outs) {
    Run<4> weight[kTaps][kChannels / 4];
    GSNET_UNROLL
    for (int v = 0; v < kTaps; ++v) {
      GSNET_UNROLL
      for (int q = 0; q < kChannels / 4; ++q) weight[v][q] = run_at<4>(taps + v * outs + 4 * q);
    }
    GSNET_UNROLL
    for (int r = 0; r < kRows; ++r) {
      float value[kColumns + kTaps - 1];
      read(window + r * line, value);
      GSNET_UNROLL
      for (int v = 0; v < kTaps; ++v) {
        GSNET_UNROLL
        for (int c = 0; c < kColumns; ++c) {
          GSNET_UNROLL
          for (int o = 0; o < kChannels; ++o) of[r][c][o] += value[c + v] * weight[v][o / 4].of[o % 4];
        }
      }
    }
  }

  /// Six numbers from a multiple of 16 bytes on.
  static GSNET_DEVICE void read(const float* from, float (&to)[kColumns + 2]) {
    const Run<4> four = run_at<4>(from);
    const Run<2> two = run_at<2>(from + 4);
    GSNET_UNROLL
    for (int c = 0; c < 6; ++c) to[c] = c < 4 ? four.of[c] : two.of[c - 4];
  }
  /// Four from anywhere.
  static GSNET_DEVICE void read(const float* from, float (&to)[kColumns]) {
    GSNET_UNROLL
    for (int c = 0; c < kColumns; ++c) to[c] = from[c];
  }
};

/// Where a tile lies: channels fastest, so that neighbouring threads write neighbours.
struct TilePlace {
  int of, row, column, channel;  ///< image of the team, first pixel, first channel

  GSNET_DEVICE TilePlace(const PlaneMap& map, int tile) {
    const int chunks = map.chunks(), columns = map.tile_columns(), rows = map.tile_rows();
    channel = tile % chunks * map.tile_channels();
    const int place = tile / chunks;
    column = place % columns * PlaneMap::kColumns;
    row = place / columns % rows * PlaneMap::kRows;
    of = place / (columns * rows);
  }
};

/// kRun: so many channels are read and written at once.
template <int kChannels, int kRun, class Ends>
void run_planes(Runtime& runtime, const PlaneMap& map, const Tensor& k, const Ends& ends) {
  using Sums = TileSums<kChannels>;
  const Tensor arranged = plane_taps(runtime, map, k);
  const float* taps = arranged.data<float>();
  for_teams(runtime.stream(), map.teams(), map.threads(), map.shared_floats(),
            [=] GSNET_DEVICE(const Team& team, int64_t index) {
              const TeamPlace at(map, index);
              const int size = map.map(), all = map.together * size, line = map.line(), plane = map.plane();
              const int runs = map.m / kRun, pixels = map.pixels(), corner = map.high * line + map.wide;
              team.each(map.maps() * all / 4, [&](int i) { put_run(team.shared + 4 * i, Run<4>{{0, 0, 0, 0}}); });
              team.each(at.images * pixels * runs, [&](int i) {
                const int c = i % runs * kRun, p = i / runs % pixels, of = i / (runs * pixels);
                const Run<kRun> first =
                    ends.template start<kRun>(map.start(at.first + of, at.group) + int64_t{p} * map.channels + c);
                float* to = team.shared + of * size + c * plane + corner + p / map.width * line + p % map.width;
                GSNET_UNROLL
                for (int e = 0; e < kRun; ++e) to[e * plane] = first.of[e];
              });
              const float* own = taps + int64_t{at.group} * map.taps() * map.m * map.outs();
              const int tiles = at.images * map.tiles();
              Held<Sums> held(team);
              for (int step = 0; step < ends.steps(); ++step) {
                const float* before = team.shared + (map.maps() == 2 ? step % 2 * all : 0);
                float* after = team.shared + (map.maps() == 2 ? (step + 1) % 2 * all : 0);
                for (int pass = 0; pass < tiles; pass += team.threads) {
                  team.by_threads(held, [&](int thread, Sums& sums) {
                    if (pass + thread >= tiles) return;
                    const TilePlace tile(map, pass + thread);
                    sums.make(map, before + tile.of * size + tile.row * line + tile.column, own + tile.channel);
                  });
                  team.by_threads(held, [&](int thread, const Sums& sums) {
                    if (pass + thread >= tiles) return;
                    const TilePlace tile(map, pass + thread);
                    const int64_t start = map.start(at.first + tile.of, at.group) + tile.channel;
                    float* to = after + tile.of * size + tile.channel * plane + corner + tile.row * line + tile.column;
                    GSNET_UNROLL
                    for (int r = 0; r < Sums::kRows; ++r) {
                      GSNET_UNROLL
                      for (int c = 0; c < Sums::kColumns; ++c) {
                        const int row = tile.row + r, column = tile.column + c;
                        GSNET_UNROLL
                        for (int q = 0; q < kChannels / kRun; ++q) {
                          if (row >= map.height || column >= map.width || tile.channel + q * kRun >= map.m) continue;
                          Run<kRun> sum;
                          GSNET_UNROLL
                          for (int e = 0; e < kRun; ++e) sum.of[e] = sums.of[r][c][q * kRun + e];
                          const Run<kRun> next = ends.template next<kRun>(
                              step, start + int64_t{row * map.width + column} * map.channels + q * kRun,
                              at.group * map.m + tile.channel + q * kRun, sum);
                          if (step + 1 == ends.steps()) continue;
                          GSNET_UNROLL
                          for (int e = 0; e < kRun; ++e) to[(q * kRun + e) * plane + r * line + c] = next.of[e];
                        }
                      }
                    }
                  });
                }
              }
            });
}

}  // namespace gsnet::cuda
