// In single precision: a thread sums 4 x 8 channels of neighbouring taps.
#include "backend/cuda/series_gradient.h"

#include <type_traits>

#include "backend/cuda/series_gradient_parts.h"

namespace gsnet::cuda {
namespace {

constexpr int kOuts = 4, kIns = 8;  // channels of a tile

/// A team's rows of g, and those of u with a border of zeros, lie in shared memory, (row, column, channel), the lines
/// of different rows in different banks.
struct GradientPlan : GradientShape {
  static constexpr int kMostThreads = 192;

  GradientPlan(const Shape& u, const Shape& k, int64_t most_shared);

  GSNET_ANYWHERE int tiles() const { return taps() / taps_together() * (outs / kOuts) * (ins / kIns); }
  static GSNET_ANYWHERE int apart(int floats) { return (floats + 23) / 32 * 32 + 8; }
  GSNET_ANYWHERE int u_line() const { return apart((width + 2 * wide) * ins); }
  GSNET_ANYWHERE int g_line() const { return apart(width * outs); }
  GSNET_ANYWHERE int slot() const { return (band + 2 * high) * u_line() + band * g_line(); }
  GSNET_ANYWHERE int sums() const { return tiles() * taps_together() * kOuts * kIns; }
  int64_t shared_floats() const { return std::max<int64_t>(int64_t{together} * slot(), sums()); }
  int threads() const { return (splits * tiles() + kWarpThreads - 1) / kWarpThreads * kWarpThreads; }
};

GradientPlan::GradientPlan(const Shape& u, const Shape& k, int64_t most_shared) : GradientShape(u, k) {
  constexpr int kMostSlot = 19 << 10, kEnoughThreads = 128;
  outs = std::min(64, (m + kOuts - 1) / kOuts * kOuts);
  ins = std::min(32, (m + kIns - 1) / kIns * kIns);
  while (tiles() > kMostThreads && outs > kOuts) outs = std::max(kOuts, outs / 2 / kOuts * kOuts);
  while (tiles() > kMostThreads && ins > kIns) ins = std::max(kIns, ins / 2 / kIns * kIns);
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
  choose_parts();
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

/// What a team does. kRun: so many channels are copied at once.
template <int kTaps, int kRun>
struct GradientWork {
  using Sums = GradientSums<kTaps>;
  static constexpr int kEach = kTaps * kOuts * kIns;

  GradientPlan plan;
  StripeRows rows_of_u, rows_of_g;
  const float *u, *g;
  float* parts;

  GradientWork(const GradientPlan& of, const float* of_u, const float* of_g, float* to)
      : plan(of),
        rows_of_u(of, of.high, of.wide, of.width + 2 * of.wide, of.ins, kRun),
        rows_of_g(of, 0, 0, of.width, of.outs, kRun),
        u(of_u),
        g(of_g),
        parts(to) {}

  GSNET_DEVICE void operator()(const Team& team, int64_t index) const {
    const GradientPlace at(plan, index);
    Held<Sums> held(team);
    team.by_threads(held, [](int, Sums& sums) { sums.clear(); });
    for (int64_t stripe = at.first; stripe < at.last; stripe += plan.together) {
      const int count = at.count(plan, stripe);
      copy(team, rows_of_u, u, plan.u_line(), 0, stripe, at.group * plan.m + at.in, plan.m - at.in, count);
      copy(team, rows_of_g, g, plan.g_line(), g_offset(), stripe, at.group * plan.m + at.out, plan.m - at.out, count);
      team.by_threads(held, [&](int thread, Sums& sums) { add(team, thread, count, sums); });
    }
    total(team, held);
    const int tiles = plan.tiles();
    team.each(kEach * tiles, [&](int i) {
      const GradientPiece tile(plan, kOuts, kIns, i % tiles);
      const int e = i / tiles, o = at.out + tile.o + e / kIns % kOuts, in = at.in + tile.i + e % kIns;
      if (o >= plan.m || in >= plan.m) return;
      const int tap = tile.u * plan.line_taps() + tile.v + e / (kOuts * kIns);
      parts[in_part(plan, at, o, in, tap)] = team.shared[i];
    });
  }

  GSNET_DEVICE int g_offset() const { return (plan.band + 2 * plan.high) * plan.u_line(); }

  /// Into shared memory, `line` floats from row to row; zeros where there is no map, or no channel.
  GSNET_DEVICE void copy(const Team& team, const StripeRows& rows, const float* from, int line, int offset,
                         int64_t stripe, int64_t first, int channels, int count) const {
    team.each_copy(count * rows.size(), [&](int i) {
      const StripeRows::Place p = rows.at(plan, stripe, first, channels, i);
      copy_run<kRun>(team.shared + p.slot * plan.slot() + offset + p.row * line + p.place * rows.channels() + p.channel,
                     p.inside ? from + p.in_map : from, !p.inside);
    });
  }

  GSNET_DEVICE void add(const Team& team, int thread, int count, Sums& sums) const {
    const int tiles = plan.tiles(), split = thread / tiles;
    if (split >= plan.splits) return;
    const GradientPiece tile(plan, kOuts, kIns, thread % tiles);
    for (int row = split; row < count * plan.band; row += plan.splits) {
      const float* slot = team.shared + row / plan.band * plan.slot();
      const int r = row % plan.band;  // past the picture's end: zeros
      sums.add(plan, slot + (r + tile.u) * plan.u_line() + tile.v * plan.ins + tile.i,
               slot + g_offset() + r * plan.g_line() + tile.o);
    }
  }

  /// All splits' sums into shared memory, (number of a tile; tile).
  GSNET_DEVICE void total(const Team& team, Held<Sums>& held) const {
    const int tiles = plan.tiles();
    for (int split = 0; split < plan.splits; ++split) {
      team.by_threads(held, [&](int thread, const Sums& sums) {
        if (thread / tiles != split) return;
        float* to = team.shared + thread % tiles;
        GSNET_UNROLL
        for (int e = 0; e < kEach; ++e) {
          const float sum = sums.of[e / (kOuts * kIns)][e / kIns % kOuts][e % kIns];
          to[e * tiles] = split == 0 ? sum : to[e * tiles] + sum;
        }
      });
    }
  }
};

template <int kTaps, int kRun>
void run_gradient(Runtime& runtime, const GradientPlan& plan, const float* u, const float* g, float* parts) {
  for_teams<TeamSize<GradientPlan::kMostThreads, 2>>(runtime.stream(), plan.teams(), plan.threads(),
                                                     plan.shared_floats(),
                                                     GradientWork<kTaps, kRun>(plan, u, g, parts));
}

}  // namespace

bool plain_gradient_fits(const Runtime& runtime, const Shape& u, const Shape& k) {
  if (!GradientShape::fits(u, k) || k[2] * k[3] > GradientPlan::kMostThreads) return false;
  return GradientPlan(u, k, runtime.most_shared()).shared_floats() * 4 <= runtime.most_shared();
}

void plain_gradient(Runtime& runtime, const Tensor& u, const Tensor& g, Tensor& dk) {
  const GradientPlan plan(u.shape(), dk.shape(), runtime.most_shared());
  add_parts(runtime, plan, dk, [&](float* parts) {
    const auto run = [&]<int kTaps>(std::integral_constant<int, kTaps>) {
      if (plan.m % 4 == 0) return run_gradient<kTaps, 4>(runtime, plan, u.data<float>(), g.data<float>(), parts);
      run_gradient<kTaps, 1>(runtime, plan, u.data<float>(), g.data<float>(), parts);
    };
    plan.taps_together() == 3 ? run(std::integral_constant<int, 3>()) : run(std::integral_constant<int, 1>());
  });
}

}  // namespace gsnet::cuda
