// Tensor cores: products of matrices that a warp's lanes hold together, and their numbers.
#include <bit>

#include "cuda/interpreter/forms.h"
#include "cuda/interpreter/numbers.h"

namespace gsnet::ptx {
namespace {

float bits_as_float(uint32_t bits) { return std::bit_cast<float>(bits); }
float from_bf16(uint32_t half) { return bits_as_float(half << 16); }

uint16_t to_bf16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return 0x7FFF;
  bits += 0x7FFF + (bits >> 16 & 1);
  return static_cast<uint16_t>(bits >> 16);
}

void pack_bf16(const Instruction& i, Warp& warp) {
  uint32_t* to = warp.at<uint32_t>(i.at[0]);
  const float* high = warp.at<float>(i.at[1]);
  const float* low = warp.at<float>(i.at[2]);
  each_lane(warp, [&](int l) { to[l] = uint32_t{to_bf16(high[l])} << 16 | to_bf16(low[l]); });
}

/// Matrices of 8 rows of 8 numbers of 16 bits: the lanes 8 m to 8 m + 7 say where the rows of matrix m lie.
template <bool kColumns>
void load_matrices(const Instruction& i, Warp& warp) {
  warp.needs_all_lanes();
  const uint32_t* address = warp.at<uint32_t>(i.at[4]);
  for (int m = 0; m < 4; ++m) {
    uint16_t of[8][8];
    for (int row = 0; row < 8; ++row) {
      const int lane = 8 * m + row;
      std::memcpy(of[row],
                  warp.reach<Space::shared>(lane, address[lane] + static_cast<uint64_t>(i.offset), 16, Use::read), 16);
    }
    uint32_t* to = warp.at<uint32_t>(i.at[m]);
    for (int lane = 0; lane < kLanes; ++lane) {
      const int along = lane / 4, first = 2 * (lane % 4);
      const uint16_t low = kColumns ? of[first][along] : of[along][first];
      const uint16_t high = kColumns ? of[first + 1][along] : of[along][first + 1];
      to[lane] = uint32_t{high} << 16 | low;
    }
  }
}

/// d (16, 8) = a (16, k) b (k, 8) + c: with g = lane / 4 and t = lane % 4 a lane has of d and c (g, 2 t), (g, 2 t + 1)
/// and the same of row g + 8. Sums are taken in double: a device's own order is not said.
void multiply(Warp& warp, const Instruction& i, const float (&a)[16][16], const float (&b)[16][8], int inner) {
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int e = 0; e < 4; ++e) {
      const int row = lane / 4 + (e / 2) * 8, column = 2 * (lane % 4) + e % 2;
      double total = warp.at<float>(i.at[10 + e])[lane];
      for (int k = 0; k < inner; ++k) total += static_cast<double>(a[row][k]) * b[k][column];
      warp.at<float>(i.at[e])[lane] = static_cast<float>(total);
    }
  }
}

void multiply_bf16(const Instruction& i, Warp& warp) {
  warp.needs_all_lanes();
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int r = 0; r < 4; ++r) {
      const uint32_t two = warp.at<uint32_t>(i.at[4 + r])[lane];
      const int row = g + (r % 2) * 8, k = 2 * t + (r / 2) * 8;
      a[row][k] = from_bf16(two & 0xFFFF);
      a[row][k + 1] = from_bf16(two >> 16);
    }
    for (int r = 0; r < 2; ++r) {
      const uint32_t two = warp.at<uint32_t>(i.at[8 + r])[lane];
      b[2 * t + 8 * r][g] = from_bf16(two & 0xFFFF);
      b[2 * t + 8 * r + 1][g] = from_bf16(two >> 16);
    }
  }
  multiply(warp, i, a, b, 16);
}

void multiply_tf32(const Instruction& i, Warp& warp) {
  warp.needs_all_lanes();
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int r = 0; r < 4; ++r) {
      a[g + (r % 2) * 8][t + (r / 2) * 4] = bits_as_float(warp.at<uint32_t>(i.at[4 + r])[lane] & ~uint32_t{0x1FFF});
    }
    for (int r = 0; r < 2; ++r)
      b[t + 4 * r][g] = bits_as_float(warp.at<uint32_t>(i.at[8 + r])[lane] & ~uint32_t{0x1FFF});
  }
  multiply(warp, i, a, b, 8);
}

}  // namespace

void enter_tensor_cores(Table& t) {
  enter(t, "cvt.rna.tf32.f32", one<[](float a) { return to_tf32(a); }, uint32_t, float>, 4, 4);
  enter(t, "cvt.rn.bf16.f32", one<[](float a) { return to_bf16(a); }, uint16_t, float>, 2, 4);
  enter(t, "cvt.rn.bf16x2.f32", pack_bf16, 4, 4, 4);
  enter(t, "ldmatrix.sync.aligned.m8n8.x4.shared.b16", load_matrices<false>, 4, 4, 4, 4, 4);
  enter(t, "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16", load_matrices<true>, 4, 4, 4, 4, 4);
  t["mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"] = {multiply_bf16, std::vector<int>(14, 4)};
  t["mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"] = {multiply_tf32, std::vector<int>(14, 4)};
}

}  // namespace gsnet::ptx
