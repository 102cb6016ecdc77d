// The fused series in single precision: every thread by itself.
#pragma once

#include "backend/cuda/series_parts.h"

namespace gsnet::cuda {

/// In single precision: a map is (channel, row, column) with a border of zeros. A thread sums 2 x 4 pixels of some
/// channels: what it reads of a row serves all taps of that row. Where every tile of a team has a thread, sums wait in
/// registers until all have read, and go where the map was; else there are two maps.
struct PlaneMap : TeamShape {
  static constexpr int kRows = 2, kColumns = 4;
  int tile_channels = 8;

  PlaneMap(const Shape& x, const Shape& k, int64_t most_shared);

  GSNET_ANYWHERE int tile_rows() const { return (height + kRows - 1) / kRows; }
  GSNET_ANYWHERE int tile_columns() const { return (width + kColumns - 1) / kColumns; }
  GSNET_ANYWHERE int chunks() const { return (m + tile_channels - 1) / tile_channels; }
  /// Of an image.
  GSNET_ANYWHERE int tiles() const { return tile_rows() * tile_columns() * chunks(); }
  /// Output channels as taps have them: those past the last one are zeros.
  GSNET_ANYWHERE int outs() const { return chunks() * tile_channels; }

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

/// Tiles of fewer channels where there are no more or too few tiles for a device; more images together where one has
/// few.
inline PlaneMap::PlaneMap(const Shape& x, const Shape& k, int64_t most_shared) : TeamShape(x, k) {
  constexpr int64_t kEnoughTiles = 32768;  // 8 warps for each processor of the largest
  constexpr int kEnough = 64;
  if (m % 4 != 0 || m <= 4 || int64_t{images} * groups() * tiles() < kEnoughTiles) tile_channels = 4;
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
  /// Runs of four of a tile's channels lie 4 x chunks apart.
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
    const int line = map.line(), plane = map.plane(), outs = map.outs(), m = map.m, apart = 4 * map.chunks();
    for (int u = 0; u <= 2 * map.high; ++u) {
      const float* window = from + u * line;
      for (int i = 0; i < m; ++i, window += plane) {
        for (int v = 0; v < map.line_taps(); v += kTaps, taps += kTaps * outs) {
          add_rows<kTaps>(window + v, line, taps, outs, apart);
        }
      }
    }
  }

  template <int kTaps>
  GSNET_DEVICE void add_rows(const float* window, int line, const float* taps, int outs, int apart) {
    Run<4> weight[kTaps][kChannels / 4];
    GSNET_UNROLL
    for (int v = 0; v < kTaps; ++v) {
      GSNET_UNROLL
      for (int q = 0; q < kChannels / 4; ++q) weight[v][q] = run_at<4>(taps + v * outs + q * apart);
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

/// Where a tile lies: channels fastest, and its runs of four channels as far apart as there are chunks, so that
/// neighbouring threads read and write neighbours.
struct TilePlace {
  int of, row, column, channel;  ///< image of the team, first pixel, first channel

  GSNET_DEVICE TilePlace(const PlaneMap& map, int tile) {
    const int chunks = map.chunks(), columns = map.tile_columns(), rows = map.tile_rows();
    channel = tile % chunks * 4;
    const int place = tile / chunks;
    column = place % columns * PlaneMap::kColumns;
    row = place / columns % rows * PlaneMap::kRows;
    of = place / (columns * rows);
  }
};

/// What a team does. kRun: so many channels are read and written at once.
template <int kChannels, int kRun, class Ends>
struct PlaneWork {
  using Sums = TileSums<kChannels>;
  static constexpr int kRuns = kChannels / kRun;

  PlaneMap map;
  Ends ends;
  const float* taps;

  GSNET_DEVICE void operator()(const Team& team, int64_t index) const {
    const TeamPlace at(map, index);
    const int size = map.map(), all = map.together * size, tiles = at.images * map.tiles();
    const float* own = taps + int64_t{at.group} * map.taps() * map.m * map.outs();
    team.each(map.maps() * all / 4, [&](int i) { put_run(team.shared + 4 * i, Run<4>{}); });
    enter(team, at);
    Held<Sums> held(team);
    for (int step = 0; step < ends.steps(); ++step) {
      const float* before = team.shared + (map.maps() == 2 ? step % 2 * all : 0);
      float* after = team.shared + (map.maps() == 2 ? (step + 1) % 2 * all : 0);
      for (int pass = 0; pass < tiles; pass += team.threads) {
        team.by_threads(held, [&](int thread, Sums& sums) {
          if (pass + thread >= tiles) return;
          const TilePlace tile(map, pass + thread);
          sums.make(map, before + tile.of * size + tile.row * map.line() + tile.column, own + tile.channel);
        });
        team.by_threads(held, [&](int thread, const Sums& sums) {
          if (pass + thread >= tiles) return;
          const TilePlace tile(map, pass + thread);
          leave(sums, tile, at, step, after + tile.of * size);
        });
      }
    }
  }

  /// Of the first pixel.
  GSNET_DEVICE int corner() const { return map.high * map.line() + map.wide; }

  GSNET_DEVICE void enter(const Team& team, const TeamPlace& at) const {
    const auto place = [&](int i) { return RunPlace(map, at, kRun, i); };
    team.move(
        at.images * map.pixels() * (map.m / kRun), [&](int i) { return ends.template given<kRun>(place(i).at); },
        [&](int i, const Run<kRun>& given) {
          const RunPlace p = place(i);
          const Run<kRun> first = ends.start(p.at, given);
          float* to = team.shared + p.of * map.map() + p.channel * map.plane();
          to += corner() + p.row * map.line() + p.column;
          GSNET_UNROLL
          for (int e = 0; e < kRun; ++e) to[e * map.plane()] = first.of[e];
        });
  }

  /// What a step makes of a tile's sums, into the map for the next one.
  GSNET_DEVICE void leave(const Sums& sums, const TilePlace& tile, const TeamPlace& at, int step,
                          float* next_map) const {
    const int64_t start = map.start(at.first + tile.of, at.group);
    const auto channel = [&](int q) { return tile.channel + q * kRun / 4 * 4 * map.chunks() + q * kRun % 4; };
    constexpr int kTogether = 4;  // runs that are read before any is written
    GSNET_UNROLL
    for (int first = 0; first < Sums::kRows * Sums::kColumns * kRuns; first += kTogether) {
      Run<kRun> before[kTogether];
      GSNET_UNROLL
      for (int e = 0; e < kTogether; ++e) {
        const Output out(first + e);
        const int row = tile.row + out.r, column = tile.column + out.c;
        if (row >= map.height || column >= map.width || channel(out.q) >= map.m) continue;
        before[e] =
            ends.template before<kRun>(start + int64_t{row * map.width + column} * map.channels + channel(out.q));
      }
      GSNET_UNROLL
      for (int e = 0; e < kTogether; ++e) {
        const Output out(first + e);
        const int row = tile.row + out.r, column = tile.column + out.c;
        if (row >= map.height || column >= map.width || channel(out.q) >= map.m) continue;
        Run<kRun> sum;
        GSNET_UNROLL
        for (int i = 0; i < kRun; ++i) sum.of[i] = sums.of[out.r][out.c][out.q * kRun + i];
        const Run<kRun> next =
            ends.next(step, start + int64_t{row * map.width + column} * map.channels + channel(out.q),
                      at.group * map.m + channel(out.q), before[e], sum);
        if (step + 1 == ends.steps()) continue;
        float* to = next_map + corner() + row * map.line() + column + channel(out.q) * map.plane();
        GSNET_UNROLL
        for (int i = 0; i < kRun; ++i) to[i * map.plane()] = next.of[i];
      }
    }
  }

  /// Row, column and run of a tile's output.
  struct Output {
    int r, c, q;
    GSNET_DEVICE explicit Output(int e)
        : r(e / (Sums::kColumns * kRuns)), c(e / kRuns % Sums::kColumns), q(e % kRuns) {}
  };
};

template <int kChannels, int kRun, class Ends>
void run_planes(Runtime& runtime, const PlaneMap& map, const Tensor& k, const Ends& ends) {
  const Tensor arranged = plane_taps(runtime, map, k);
  for_teams<TeamSize<kMostTeamThreads, 2>>(runtime.stream(), map.teams(), map.threads(), map.shared_floats(),
                                           PlaneWork<kChannels, kRun, Ends>{map, ends, arranged.data<float>()});
}

}  // namespace gsnet::cuda
