// warp_product.h as host loops that move numbers between lanes as PTX's manual says of ldmatrix and mma.
#pragma once

#include <bit>
#include <stdexcept>

#include "backend/cuda/warp_product.h"

namespace gsnet::cuda {

inline void put(Bf16& to, float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const bool nan = (bits & 0x7fffffff) > 0x7f800000;
  to.bits = static_cast<uint16_t>(nan ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline void put(Tf32& to, float value) { to.bits = (std::bit_cast<uint32_t>(value) + 0x1000) & 0xffffe000; }
inline uint32_t packed(Bf16, const float* from) {
  Bf16 two[2];
  put(two[0], from[0]);
  put(two[1], from[1]);
  return two[0].bits | static_cast<uint32_t>(two[1].bits) << 16;
}
inline uint32_t packed(Tf32, const float* from) {
  Tf32 number;
  put(number, *from);
  return number.bits;
}
inline float value_of(Bf16 number) { return std::bit_cast<float>(static_cast<uint32_t>(number.bits) << 16); }
inline float value_of(Tf32 number) { return std::bit_cast<float>(number.bits); }

template <class Number, int kRows, int kColumns>
WarpSums<Number, kRows, kColumns>::WarpSums(const Number* right) {
  read(right);
}

template <class Number, int kRows, int kColumns>
void WarpSums<Number, kRows, kColumns>::read(const Number* right) {
  for (int e = 0; e < kColumns * kBlock; ++e) {
    const int lane = e % kBlock / kChunk<Number>, part = e % kChunk<Number> / kHeld;
    right_[e / kBlock][lane][part].of[e % kHeld] = right[e];
  }
}

template <class Number, int kRows, int kColumns>
void WarpSums<Number, kRows, kColumns>::add(const Number* a, int step, const Number* next_right) {
  for (int r = 0; r < kRows; ++r) {
    Register left[kWarpThreads][4];
    for (int lane = 0; lane < kWarpThreads; ++lane) {  // gives a row of matrix lane / 8 to four lanes
      const Number* row = a + (r * kSide + lane % kSide) * step + lane / kSide * kChunk<Number>;
      if (reinterpret_cast<uintptr_t>(row) % 16 != 0) throw std::logic_error("ldmatrix: not at a multiple of 16 bytes");
      for (int e = 0; e < kChunk<Number>; ++e) left[lane % 8 * 4 + e / kHeld][lane / 8].of[e % kHeld] = row[e];
    }
    float rows[kSide][kDepth];
    for (int i = 0; i < kWarpThreads * 4 * kHeld; ++i) {
      const int lane = i / (4 * kHeld), part = i / kHeld % 4, e = i % kHeld;
      rows[lane / 4 + 8 * (part % 2)][kChunk<Number> * (part / 2) + lane % 4 * kHeld + e] =
          value_of(left[lane][part].of[e]);
    }
    for (int c = 0; c < kColumns; ++c) {
      for (int half = 0; half < 2; ++half) {
        float columns[kDepth][8];
        for (int i = 0; i < kWarpThreads * 2 * kHeld; ++i) {
          const int lane = i / (2 * kHeld), part = i / kHeld % 2, e = i % kHeld;
          columns[kChunk<Number> * part + lane % 4 * kHeld + e][lane / 4] =
              value_of(right_[c][lane][2 * half + part].of[e]);
        }
        for (int i = 0; i < kWarpThreads * 4; ++i) {
          const int lane = i / 4, row = lane / 4 + 8 * (i % 4 / 2), column = 2 * (lane % 4) + i % 2;
          for (int k = 0; k < kDepth; ++k) sums_[r][c][half][lane][i % 4] += rows[row][k] * columns[k][column];
        }
      }
    }
  }
  read(next_right);
}

template <class Number, int kRows, int kColumns>
template <class Look, class Use>
void WarpSums<Number, kRows, kColumns>::each_pair(Look look, Use use) const {
  for (int i = 0; i < kRows * kColumns * 2 * kWarpThreads * 2; ++i) {
    const int low = i % 2, lane = i / 2 % kWarpThreads, half = i / (2 * kWarpThreads) % 2;
    const int square = i / (4 * kWarpThreads), c = square % kColumns, r = square / kColumns;
    const int row = r * kSide + lane / 4 + 8 * low, column = c * kSide + 8 * half + 2 * (lane % 4);
    const float* pair = sums_[r][c][half][lane] + 2 * low;
    use(row, column, look(row, column), Run<2>{{pair[0], pair[1]}});
  }
}

template <int kRows, int kShifts>
void WarpOuterSums<kRows, kShifts>::clear() {
  *this = {};
}

/// What a lane gets of a matrix by ldmatrix with .trans: of column lane / 4, rows 2 (lane % 4) and the next one.
inline void load_columns(const Bf16* const (&rows)[kWarpThreads], Bf16 (&to)[kWarpThreads][4][2]) {
  for (int i = 0; i < kWarpThreads * 4 * 2; ++i) {
    const int lane = i / 8, matrix = i / 2 % 4, e = i % 2;
    const Bf16* row = rows[matrix * 8 + 2 * (lane % 4) + e];
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0) throw std::logic_error("ldmatrix: not at a multiple of 16 bytes");
    to[lane][matrix][e] = row[lane / 4];
  }
}

template <int kRows, int kShifts>
void WarpOuterSums<kRows, kShifts>::add(const Bf16* a, int a_step, const Bf16* b, int b_step) {
  const auto gather = [](const Bf16* from, int step, int high, int across, Bf16(&to)[kWarpThreads][4][2]) {
    const Bf16* rows[kWarpThreads];
    for (int lane = 0; lane < kWarpThreads; ++lane) {
      const int matrix = lane / 8, parts[2] = {matrix / 2, matrix % 2};
      rows[lane] = from + (lane % 8 + parts[high] * 8) * step + parts[across] * 8;
    }
    load_columns(rows, to);
  };
  for (int r = 0; r < kRows; ++r) {
    Bf16 left[kWarpThreads][4][2], right[kWarpThreads][4][2];
    float rows[kSide][kDepth], columns[kDepth][kSide];
    gather(a + r * kSide, a_step, 0, 1, left);
    for (int shift = 0; shift < kShifts; ++shift) {
      gather(b + shift * b_step, b_step, 1, 0, right);
      for (int i = 0; i < kWarpThreads * 4 * 2; ++i) {
        const int lane = i / 8, part = i / 2 % 4, e = i % 2;
        rows[lane / 4 + 8 * (part % 2)][8 * (part / 2) + 2 * (lane % 4) + e] = value_of(left[lane][part][e]);
        columns[8 * (part % 2) + 2 * (lane % 4) + e][8 * (part / 2) + lane / 4] = value_of(right[lane][part][e]);
      }
      for (int i = 0; i < 2 * kWarpThreads * 4; ++i) {
        const int half = i / (4 * kWarpThreads), lane = i / 4 % kWarpThreads;
        const int row = lane / 4 + 8 * (i % 4 / 2), column = 8 * half + 2 * (lane % 4) + i % 2;
        for (int k = 0; k < kDepth; ++k) sums_[r][shift][half][lane][i % 4] += rows[row][k] * columns[k][column];
      }
    }
  }
}

template <int kRows, int kShifts>
template <class Body>
void WarpOuterSums<kRows, kShifts>::each_pair(Body body) const {
  for (int i = 0; i < kRows * kShifts * 4 * kWarpThreads; ++i) {
    const int lane = i % kWarpThreads, e = i / kWarpThreads;
    const int r = e / (4 * kShifts), shift = e / 4 % kShifts, half = e / 2 % 2, low = e % 2;
    const float* pair = sums_[r][shift][half][lane] + 2 * low;
    body(r, shift, lane / 4 + 8 * low, 8 * half + 2 * (lane % 4), Run<2>{{pair[0], pair[1]}});
  }
}

}  // namespace gsnet::cuda
