// On tensor cores: a warp sums 16 or 32 channels of g by 16 of u, of neighbouring taps.
#include "backend/cuda/series_gradient.h"

#include <type_traits>

#include "backend/cuda/series_gradient_parts.h"
#include "backend/cuda/warp_product.h"

namespace gsnet::cuda {
namespace {

constexpr int kSide = 16;

/// A stripe's rows of g lie in shared memory as places of (row, column), with as many zeros after a row as taps reach
/// past it, and those of u with a border of zeros, so that a tap's place of u is g's and a shift. Places are 16 bytes
/// further apart than their channels need, so that eight of them lie in all banks.
struct OuterPlan : GradientShape {
  int squares;  ///< of g's channels, a warp's

  OuterPlan(const Shape& u, const Shape& k, int64_t most_shared) : GradientShape(u, k) {
    outs = ins = m % (2 * kSide) == 0 ? 2 * kSide : kSide;
    squares = outs / kSide;
    if (pieces() > kMostWarps) outs = ins = kSide, squares = 1;
    constexpr int64_t kMostBytes = 48 << 10;
    const int64_t most = std::min(kMostBytes, most_shared);
    while (band > 1 && slot_bytes() > most) band = (band + 1) / 2;
    splits = std::max(1, kMostWarps / pieces());
    constexpr int kEnoughSteps = 8;  // of a split, between two waits
    while (together * steps() < kEnoughSteps * splits && 2 * together * slot_bytes() <= most &&
           2 * together <= stripes()) {
      together *= 2;
    }
    choose_parts();
  }

  static constexpr int kMostWarps = kMostTeamThreads / kWarpThreads;
  GSNET_ANYWHERE int pieces() const { return taps() / taps_together() * (outs / kSide / squares) * (ins / kSide); }
  GSNET_ANYWHERE int line() const { return width + 2 * wide; }
  /// Of a product, 16 places each.
  GSNET_ANYWHERE int steps() const { return (band * line() + kSide - 1) / kSide; }
  GSNET_ANYWHERE int g_places() const { return steps() * kSide; }
  GSNET_ANYWHERE int u_places() const { return g_places() + 2 * high * line() + 2 * wide; }
  GSNET_ANYWHERE int g_step() const { return outs + kChunk<Bf16>; }
  GSNET_ANYWHERE int u_step() const { return ins + kChunk<Bf16>; }
  GSNET_ANYWHERE int slot() const { return g_places() * g_step() + u_places() * u_step(); }
  int64_t slot_bytes() const { return int64_t{slot()} * static_cast<int64_t>(sizeof(Bf16)); }
  GSNET_ANYWHERE int sums() const { return pieces() * taps_together() * squares * kSide * kSide; }
  int64_t shared_floats() const { return std::max<int64_t>((together * slot_bytes() + 3) / 4, sums()); }
  int threads() const { return splits * pieces() * kWarpThreads; }
};

/// What a team does.
template <int kSquares, int kTaps>
struct OuterWork {
  using Sums = WarpOuterSums<kSquares, kTaps>;
  static constexpr int kEach = kSquares * kTaps * kSide * kSide;

  OuterPlan plan;
  StripeRows rows_of_u, rows_of_g;
  const float *u, *g;
  float* parts;

  OuterWork(const OuterPlan& of, const float* of_u, const float* of_g, float* to)
      : plan(of),
        rows_of_u(of, of.high, of.wide, of.line(), of.ins, 4),
        rows_of_g(of, 0, 0, of.line(), of.outs, 4),
        u(of_u),
        g(of_g),
        parts(to) {}

  GSNET_DEVICE void operator()(const Team& team, int64_t index) const {
    const GradientPlace at(plan, index);
    const int all = plan.together * plan.slot();
    auto* places = reinterpret_cast<Bf16*>(team.shared);
    HeldByWarps<Sums> held(team);
    team.by_warps(held, [](int, Sums& sums) { sums.clear(); });
    team.each(all / 8, [&](int i) { put_run(team.shared + 4 * i, Run<4>{}); });  // what no row reaches stays zero
    for (int64_t stripe = at.first; stripe < at.last; stripe += plan.together) {
      const int count = at.count(plan, stripe);
      round(team, rows_of_g, g, plan.g_step(), places, stripe, at.group * plan.m + at.out, count);
      round(team, rows_of_u, u, plan.u_step(), places + u_offset(), stripe, at.group * plan.m + at.in, count);
      team.by_warps(held, [&](int warp, Sums& sums) { add(places, warp, count, sums); });
    }
    total(team, held);
    team.each(kEach * plan.pieces(), [&](int i) {
      const GradientPiece piece(plan, kSquares * kSide, kSide, i / kEach);
      const int e = i % kEach, in = e % kSide, o = e / kSide % (kSquares * kSide);
      const int tap = piece.u * plan.line_taps() + piece.v + e / (kSquares * kSide * kSide);
      parts[in_part(plan, at, at.out + piece.o + o, at.in + piece.i + in, tap)] = team.shared[i];
    });
  }

  GSNET_DEVICE int u_offset() const { return plan.g_places() * plan.g_step(); }

  struct Read {
    Run<4> run;
    int to;
  };
  /// Into shared memory as bf16; zeros where there is no map.
  GSNET_DEVICE void round(const Team& team, const StripeRows& rows, const float* from, int step, Bf16* to,
                          int64_t stripe, int64_t first, int count) const {
    team.move(
        count * rows.size(),
        [&](int i) {
          const StripeRows::Place p = rows.at(plan, stripe, first, plan.m, i);
          return Read{p.inside ? run_at<4>(from + p.in_map) : Run<4>{},
                      p.slot * plan.slot() + (p.row * plan.line() + p.place) * step + p.channel};
        },
        [&](int, const Read& read) { put_run(to + read.to, read.run); });
  }

  GSNET_DEVICE void add(const Bf16* places, int warp, int count, Sums& sums) const {
    const int pieces = plan.pieces(), steps = plan.steps(), split = warp / pieces, apart = plan.splits * kSide;
    const GradientPiece piece(plan, kSquares * kSide, kSide, warp % pieces);
    for (int slot = 0; slot < count; ++slot) {
      const Bf16* a = places + slot * plan.slot() + split * kSide * plan.g_step() + piece.o;
      const Bf16* b = places + slot * plan.slot() + u_offset() + piece.i +
                      (split * kSide + piece.u * plan.line() + piece.v) * plan.u_step();
      for (int step = split; step < steps; step += plan.splits) {
        sums.add(a, plan.g_step(), b, plan.u_step());
        a += apart * plan.g_step();
        b += apart * plan.u_step();
      }
    }
  }

  /// All splits' sums into shared memory, piece after piece.
  GSNET_DEVICE void total(const Team& team, HeldByWarps<Sums>& held) const {
    const int pieces = plan.pieces();
    for (int split = 0; split < plan.splits; ++split) {
      team.by_warps(held, [&](int warp, const Sums& sums) {
        if (warp / pieces != split) return;
        float* of_piece = team.shared + warp % pieces * kEach;
        sums.each_pair([&](int r, int shift, int row, int column, const Run<2>& sum) {
          float* to = of_piece + ((shift * kSquares + r) * kSide + row) * kSide + column;
          Run<2> made = split == 0 ? Run<2>{} : run_at<2>(to);
          made.of[0] += sum.of[0];
          made.of[1] += sum.of[1];
          put_run(to, made);
        });
      });
    }
  }
};

template <int kSquares, int kTaps>
void run_outer(Runtime& runtime, const OuterPlan& plan, const float* u, const float* g, float* parts) {
  for_teams<TeamSize<kMostTeamThreads, 2>>(runtime.stream(), plan.teams(), plan.threads(), plan.shared_floats(),
                                           OuterWork<kSquares, kTaps>(plan, u, g, parts));
}

}  // namespace

bool bf16_gradient_fits(const Runtime& runtime, const Shape& u, const Shape& k) {
  if (!GradientShape::fits(u, k) || k[1] % kSide != 0) return false;
  const OuterPlan plan(u, k, runtime.most_shared());
  return plan.pieces() <= OuterPlan::kMostWarps && plan.shared_floats() * 4 <= runtime.most_shared();
}

void bf16_gradient(Runtime& runtime, const Tensor& u, const Tensor& g, Tensor& dk) {
  const OuterPlan plan(u.shape(), dk.shape(), runtime.most_shared());
  add_parts(runtime, plan, dk, [&](float* parts) {
    const auto run = [&]<int kTaps>(std::integral_constant<int, kTaps>) {
      if (plan.squares == 2) return run_outer<2, kTaps>(runtime, plan, u.data<float>(), g.data<float>(), parts);
      run_outer<1, kTaps>(runtime, plan, u.data<float>(), g.data<float>(), parts);
    };
    plan.taps_together() == 3 ? run(std::integral_constant<int, 3>()) : run(std::integral_constant<int, 1>());
  });
}

}  // namespace gsnet::cuda
