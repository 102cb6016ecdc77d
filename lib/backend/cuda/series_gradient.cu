#include "backend/cuda/series_gradient.h"

#include <algorithm>

#include "backend/cuda/loops.h"

namespace gsnet::cuda {
namespace {

constexpr int kOuts = 4, kIns = 8;  // channels of a tile

/// What a team does. A stripe is `band` rows of an image; its rows of g, and those of u with a border of zeros, lie in
/// shared memory, (row, column, channel), the lines of different rows in different banks.
struct GradientPlan {
  int images, channels, m, height, width, high, wide;
  int outs, ins;  ///< channels of a block: a team has outs of g's by ins of u's
  int band = 0, together = 1;
  int splits = 1;  ///< of a team's rows, a set of threads each
  int parts = 1;   ///< of the stripes, teams of their own

  GradientPlan(const Shape& u, const Shape& k, int64_t most_shared);

  GSNET_ANYWHERE int groups() const { return channels / m; }
  GSNET_ANYWHERE int blocks_out() const { return (m + outs - 1) / outs; }
  GSNET_ANYWHERE int blocks() const { return blocks_out() * ((m + ins - 1) / ins); }
  GSNET_ANYWHERE int line_taps() const { return 2 * wide + 1; }
  GSNET_ANYWHERE int taps() const { return (2 * high + 1) * line_taps(); }
  /// Neighbouring taps of a row that a thread has.
  GSNET_ANYWHERE int taps_together() const { return wide == 1 ? 3 : 1; }
  GSNET_ANYWHERE int tiles() const { return taps() / taps_together() * (outs / kOuts) * (ins / kIns); }
  GSNET_ANYWHERE int bands() const { return (height + band - 1) / band; }
  GSNET_ANYWHERE int64_t stripes() const { return int64_t{images} * bands(); }

  static GSNET_ANYWHERE int apart(int floats) { return (floats + 23) / 32 * 32 + 8; }
  GSNET_ANYWHERE int u_line() const { return apart((width + 2 * wide) * ins); }
  GSNET_ANYWHERE int g_line() const { return apart(width * outs); }
  GSNET_ANYWHERE int slot() const { return (band + 2 * high) * u_line() + band * g_line(); }
  GSNET_ANYWHERE int sums() const { return tiles() * taps_together() * kOuts * kIns; }
  int64_t shared_floats() const { return std::max<int64_t>(int64_t{together} * slot(), sums()); }
  int threads() const { return (splits * tiles() + kWarpThreads - 1) / kWarpThreads * kWarpThreads; }
};

GradientPlan::GradientPlan(const Shape& u, const Shape& k, int64_t most_shared)
    : images(static_cast<int>(u[0])),
      channels(static_cast<int>(u[1])),
      m(static_cast<int>(k[1])),
      height(static_cast<int>(u[2])),
      width(static_cast<int>(u[3])),
      high(static_cast<int>(k[2] / 2)),
      wide(static_cast<int>(k[3] / 2)),
      outs(std::min(64, (m + kOuts - 1) / kOuts * kOuts)),
      ins(std::min(32, (m + kIns - 1) / kIns * kIns)) {
  constexpr int kMostSlot = 19 << 10, kEnoughThreads = 128, kTeams = 264;  // two teams a processor of the largest
  while (tiles() > kMostTeamThreads && outs > kOuts) outs = std::max(kOuts, outs / 2 / kOuts * kOuts);
  while (tiles() > kMostTeamThreads && ins > kIns) ins = std::max(kIns, ins / 2 / kIns * kIns);
  band = height;
  const int64_t most = std::min<int64_t>(kMostSlot, most_shared / 4);
  while (band > 1 && slot() > most) band = (band + 1) / 2;
  const int most_splits = std::max(1, kEnoughThreads / tiles());
  constexpr int kEnoughPlaces = 64;  // of a split, between two waits
  while (together * band * width < kEnoughPlaces * most_splits && 2 * together * slot() <= most &&
         2 * together <= stripes()) {
    together *= 2;
  }
  const int rows = together * band, each = (rows + most_splits - 1) / most_splits;
  splits = (rows + each - 1) / each;
  parts = static_cast<int>(
      std::clamp<int64_t>(kTeams / (int64_t{groups()} * blocks()), 1, std::max<int64_t>(1, stripes() / together)));
}

/// Sums of a tile, of neighbouring taps.
template <int kTaps>
struct GradientSums {
  float of[kTaps][kOuts][kIns];

  GSNET_DEVICE void clear() {
    GSNET_UNROLL
    for (int e = 0; e < kTaps * kOuts * kIns; ++e) of[e / (kOuts * kIns)][e / kIns % kOuts][e % kIns] = 0;
  }

  /// A row of g, and u from what its first tap reads on; what is read of u serves all taps.
  GSNET_DEVICE void add(const GradientPlan& plan, const float* u, const float* g) {
    Run<4> window[kTaps][2];
    GSNET_UNROLL
    for (int v = 0; v + 1 < kTaps; ++v) read(u + v * plan.ins, window[v]);
    u += (kTaps - 1) * plan.ins;
    for (int x = 0; x < plan.width; x += kTaps) {
      GSNET_UNROLL
      for (int s = 0; s < kTaps; ++s) {
        if (x + s >= plan.width) continue;
        read(u + (x + s) * plan.ins, window[(s + kTaps - 1) % kTaps]);
        const Run<4> given = run_at<4>(g + (x + s) * plan.outs);
        GSNET_UNROLL
        for (int v = 0; v < kTaps; ++v) {
          GSNET_UNROLL
          for (int e = 0; e < kOuts * kIns; ++e) {
            of[v][e / kIns][e % kIns] += given.of[e / kIns] * window[(s + v) % kTaps][e % kIns / 4].of[e % 4];
          }
        }
      }
    }
  }

  static GSNET_DEVICE void read(const float* from, Run<4> (&to)[2]) {
    to[0] = run_at<4>(from);
    to[1] = run_at<4>(from + 4);
  }
};

/// Where a thread's tile lies in its team's block.
struct GradientTile {
  int o, i, u, v;

  GSNET_DEVICE GradientTile(const GradientPlan& plan, int tile) {
    const int across = plan.outs / kOuts, down = plan.ins / kIns, together = plan.line_taps() / plan.taps_together();
    o = tile % across * kOuts;
    i = tile / across % down * kIns;
    v = tile / (across * down) % together;
    u = tile / (across * down * together);
  }
};

/// What a team has of everything.
struct GradientPlace {
  int group, out, in;         ///< first channels of its block
  int64_t part, first, last;  ///< stripes

  GSNET_DEVICE GradientPlace(const GradientPlan& plan, int64_t team) {
    const int block = static_cast<int>(team % plan.blocks());
    group = static_cast<int>(team / plan.blocks() % plan.groups());
    out = block % plan.blocks_out() * plan.outs;
    in = block / plan.blocks_out() * plan.ins;
    part = team / (int64_t{plan.blocks()} * plan.groups());
    first = plan.stripes() * part / plan.parts;
    last = plan.stripes() * (part + 1) / plan.parts;
  }
};

/// A map of all channels, or its rows with a border.
struct Lines {
  const float* from;
  int border_rows, border_columns, first, count, line;  ///< channels of the group, `line` floats from row to row
};

/// Rows of `stripes` stripes from `first` on into shared memory; zeros where there is no map.
template <int kRun>
GSNET_DEVICE void load(const GradientPlan& plan, const Team& team, const Lines& lines, int group, int64_t first,
                       int stripes, int offset) {
  const int rows = plan.band + 2 * lines.border_rows, runs = lines.count / kRun;
  team.each_warp(stripes * rows, [&](int at) {
    const int slot = at / rows, row = at % rows;
    const int64_t stripe = first + slot, image = stripe / plan.bands();
    const int y = static_cast<int>(stripe % plan.bands()) * plan.band + row - lines.border_rows;
    const float* from =
        lines.from + (image * plan.height + y) * plan.width * plan.channels + group * plan.m + lines.first;
    float* to = team.shared + slot * plan.slot() + offset + row * lines.line;
    each_lane((plan.width + 2 * lines.border_columns) * runs, [&](int i) {
      const int c = i % runs * kRun, x = i / runs - lines.border_columns;
      const bool inside = y >= 0 && y < plan.height && x >= 0 && x < plan.width && lines.first + c < plan.m;
      put_run(to + i * kRun, inside ? run_at<kRun>(from + int64_t{x} * plan.channels + c) : Run<kRun>{});
    });
  });
}

template <int kTaps, int kRun>
void run_gradient(Runtime& runtime, const GradientPlan& plan, const float* u, const float* g, float* parts) {
  using Sums = GradientSums<kTaps>;
  constexpr int kEach = kTaps * kOuts * kIns;
  for_teams(runtime.stream(), int64_t{plan.parts} * plan.groups() * plan.blocks(), plan.threads(), plan.shared_floats(),
            [=] GSNET_DEVICE(const Team& team, int64_t index) {
              const GradientPlace at(plan, index);
              const Lines of_u{u, plan.high, plan.wide, at.in, plan.ins, plan.u_line()};
              const Lines of_g{g, 0, 0, at.out, plan.outs, plan.g_line()};
              const int tiles = plan.tiles(), g_offset = (plan.band + 2 * plan.high) * plan.u_line();
              Held<Sums> held(team);
              team.by_threads(held, [](int, Sums& sums) { sums.clear(); });
              for (int64_t stripe = at.first; stripe < at.last; stripe += plan.together) {
                const int count = static_cast<int>(at.last - stripe < plan.together ? at.last - stripe : plan.together);
                load<kRun>(plan, team, of_u, at.group, stripe, count, 0);
                load<kRun>(plan, team, of_g, at.group, stripe, count, g_offset);
                team.by_threads(held, [&](int thread, Sums& sums) {
                  const int split = thread / tiles;
                  if (split >= plan.splits) return;
                  const GradientTile tile(plan, thread % tiles);
                  for (int row = split; row < count * plan.band; row += plan.splits) {
                    const float* slot = team.shared + row / plan.band * plan.slot();
                    const int r = row % plan.band;  // past the picture's end: zeros
                    sums.add(plan, slot + (r + tile.u) * plan.u_line() + tile.v * plan.ins + tile.i,
                             slot + g_offset + r * plan.g_line() + tile.o);
                  }
                });
              }
              for (int split = 0; split < plan.splits; ++split) {
                team.by_threads(held, [&](int thread, const Sums& sums) {
                  if (thread / tiles != split) return;
                  float* total = team.shared + thread % tiles;
                  GSNET_UNROLL
                  for (int e = 0; e < kEach; ++e) {
                    const float sum = sums.of[e / (kOuts * kIns)][e / kIns % kOuts][e % kIns];
                    total[e * tiles] = split == 0 ? sum : total[e * tiles] + sum;
                  }
                });
              }
              float* to = parts + (at.part * plan.groups() + at.group) * plan.m * plan.m * plan.taps();
              team.each(kEach * tiles, [&](int i) {
                const GradientTile tile(plan, i % tiles);
                const int e = i / tiles, o = at.out + tile.o + e / kIns % kOuts, in = at.in + tile.i + e % kIns;
                if (o >= plan.m || in >= plan.m) return;
                const int tap = tile.u * plan.line_taps() + tile.v + e / (kOuts * kIns);
                to[(int64_t{o} * plan.m + in) * plan.taps() + tap] = team.shared[i];
              });
            });
}

}  // namespace

bool gradient_fits(const Runtime& runtime, const Shape& u, const Shape& k) {
  constexpr int64_t kMost = 0x7fffffff;
  if (u[0] > kMost || u[1] * u[2] * u[3] > kMost || k[1] * k[1] * k[2] * k[3] > kMost) return false;
  if (u[3] > kMost / 64 || k[2] * k[3] > kMostTeamThreads) return false;
  return GradientPlan(u, k, runtime.most_shared()).shared_floats() * 4 <= runtime.most_shared();
}

void series_gradient(Runtime& runtime, const Tensor& u, const Tensor& g, Tensor& dk) {
  const GradientPlan plan(u.shape(), dk.shape(), runtime.most_shared());
  const Tensor parts = Tensor::empty({plan.parts, dk.numel()}, DType::f32, Layout::row_major, runtime.memory());
  const float *of_u = u.data<float>(), *of_g = g.data<float>();
  float* made = parts.data<float>();
  if (plan.m % 4 != 0) {
    if (plan.wide == 1) {
      run_gradient<3, 1>(runtime, plan, of_u, of_g, made);
    } else {
      run_gradient<1, 1>(runtime, plan, of_u, of_g, made);
    }
  } else if (plan.wide == 1) {
    run_gradient<3, 4>(runtime, plan, of_u, of_g, made);
  } else {
    run_gradient<1, 4>(runtime, plan, of_u, of_g, made);
  }
  float* to = dk.data<float>();
  const int64_t size = dk.numel(), count = plan.parts;
  for_each(runtime.stream(), size, [=] GSNET_DEVICE(int64_t i) {
    double total = 0;
    for (int64_t part = 0; part < count; ++part) total += static_cast<double>(made[part * size + i]);
    to[i] = static_cast<float>(total);
  });
}

}  // namespace gsnet::cuda
