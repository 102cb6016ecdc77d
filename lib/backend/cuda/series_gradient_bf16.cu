// On tensor cores: a warp sums 16 or 32 channels of g by 16 of u, of neighbouring taps.
#include "backend/cuda/series_gradient.h"
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
    const int64_t most = std::min(kMostBytes, most_shared / 4);
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

/// Where a warp's piece lies in its team's block.
struct OuterPiece {
  int o, i, u, v;

  GSNET_DEVICE OuterPiece(const OuterPlan& plan, int piece) {
    const int across = plan.outs / kSide / plan.squares, down = plan.ins / kSide;
    const int together = plan.line_taps() / plan.taps_together();
    o = piece % across * kSide * plan.squares;
    i = piece / across % down * kSide;
    v = piece / (across * down) % together;
    u = piece / (across * down * together);
  }
};

/// Rows of stripes into shared memory, rounded; zeros where there is no map.
struct PlacesOf {
  const float* from;
  int above, left, first, count, step;  ///< rows and columns before the map, channels of the group

  GSNET_DEVICE void load(const OuterPlan& plan, const Team& team, int group, int64_t stripe, int stripes,
                         Bf16* to) const {
    const int rows = plan.band + 2 * above, line = plan.line(), runs = count / 4;
    team.each_warp(stripes * rows, [&](int at) {
      const int slot = at / rows, row = at % rows;
      const int64_t image = (stripe + slot) / plan.bands();
      const int y = static_cast<int>((stripe + slot) % plan.bands()) * plan.band + row - above;
      const float* of_row = from + (image * plan.height + y) * plan.width * plan.channels + group * plan.m + first;
      Bf16* of_places = to + slot * plan.slot() + row * line * step;
      each_lane(line * runs, [&](int i) {
        const int c = i % runs * 4, place = i / runs, x = place - left;
        const bool inside = y >= 0 && y < plan.height && x >= 0 && x < plan.width;
        put_run(of_places + place * step + c, inside ? run_at<4>(of_row + int64_t{x} * plan.channels + c) : Run<4>{});
      });
    });
  }
};

template <int kSquares, int kTaps>
void run_outer(Runtime& runtime, const OuterPlan& plan, const float* u, const float* g, float* parts) {
  using Sums = WarpOuterSums<kSquares, kTaps>;
  for_teams(runtime.stream(), plan.teams(), plan.threads(), plan.shared_floats(),
            [=] GSNET_DEVICE(const Team& team, int64_t index) {
              const GradientPlace at(plan, index);
              const int pieces = plan.pieces(), steps = plan.steps(), all = plan.together * plan.slot();
              auto* of_g = reinterpret_cast<Bf16*>(team.shared);
              Bf16* of_u = of_g + plan.g_places() * plan.g_step();
              HeldByWarps<Sums> held(team);
              team.by_warps(held, [](int, Sums& sums) { sums.clear(); });
              team.each(all / 8,
                        [&](int i) { put_run(team.shared + 4 * i, Run<4>{}); });  // what no row reaches stays zero
              for (int64_t stripe = at.first; stripe < at.last; stripe += plan.together) {
                const int count = at.count(plan, stripe);
                PlacesOf{g, 0, 0, at.out, plan.outs, plan.g_step()}.load(plan, team, at.group, stripe, count, of_g);
                PlacesOf{u, plan.high, plan.wide, at.in, plan.ins, plan.u_step()}.load(plan, team, at.group, stripe,
                                                                                       count, of_u);
                team.by_warps(held, [&](int warp, Sums& sums) {
                  const OuterPiece piece(plan, warp % pieces);
                  const int split = warp / pieces, places = plan.splits * kSide;
                  for (int slot = 0; slot < count; ++slot) {
                    const Bf16* a = of_g + slot * plan.slot() + split * kSide * plan.g_step() + piece.o;
                    const Bf16* b = of_u + slot * plan.slot() + piece.i +
                                    (split * kSide + piece.u * plan.line() + piece.v) * plan.u_step();
                    for (int step = split; step < steps; step += plan.splits) {
                      sums.add(a, plan.g_step(), b, plan.u_step());
                      a += places * plan.g_step();
                      b += places * plan.u_step();
                    }
                  }
                });
              }
              constexpr int kEach = kSquares * kTaps * kSide * kSide;
              for (int split = 0; split < plan.splits; ++split) {
                team.by_warps(held, [&](int warp, const Sums& sums) {
                  if (warp / pieces != split) return;
                  float* total = team.shared + warp % pieces * kEach;
                  sums.each_pair([&](int r, int shift, int row, int column, const Run<2>& sum) {
                    float* to = total + ((shift * kSquares + r) * kSide + row) * kSide + column;
                    Run<2> made = split == 0 ? Run<2>{} : run_at<2>(to);
                    made.of[0] += sum.of[0];
                    made.of[1] += sum.of[1];
                    put_run(to, made);
                  });
                });
              }
              team.each(kEach * pieces, [&](int i) {
                const OuterPiece piece(plan, i / kEach);
                const int e = i % kEach, in = e % kSide, o = e / kSide % (kSquares * kSide);
                const int tap = piece.u * plan.line_taps() + piece.v + e / (kSquares * kSide * kSide);
                parts[in_part(plan, at, at.out + piece.o + o, at.in + piece.i + in, tap)] = team.shared[i];
              });
            });
}

}  // namespace

bool bf16_gradient_fits(const Runtime& runtime, const Shape& u, const Shape& k) {
  if (!GradientShape::fits(u, k) || k[1] % kSide != 0) return false;
  const OuterPlan plan(u, k, runtime.most_shared());
  return plan.pieces() <= OuterPlan::kMostWarps && plan.shared_floats() * 4 <= runtime.most_shared();
}

void bf16_gradient(Runtime& runtime, const Tensor& u, const Tensor& g, Tensor& dk) {
  const OuterPlan plan(u.shape(), dk.shape(), runtime.most_shared());
  const Tensor parts = Tensor::empty({plan.parts, dk.numel()}, DType::f32, Layout::row_major, runtime.memory());
  const float *of_u = u.data<float>(), *of_g = g.data<float>();
  float* made = parts.data<float>();
  if (plan.squares == 2) {
    if (plan.wide == 1) {
      run_outer<2, 3>(runtime, plan, of_u, of_g, made);
    } else {
      run_outer<2, 1>(runtime, plan, of_u, of_g, made);
    }
  } else if (plan.wide == 1) {
    run_outer<1, 3>(runtime, plan, of_u, of_g, made);
  } else {
    run_outer<1, 1>(runtime, plan, of_u, of_g, made);
  }
  add_up(runtime, parts, dk);
}

}  // namespace gsnet::cuda
