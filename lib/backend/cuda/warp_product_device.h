// warp_product.h by the instructions of tensor cores.
#pragma once

#include <cuda_bf16.h>

#include "backend/cuda/warp_product.h"

namespace gsnet::cuda {

GSNET_DEVICE inline void put(Bf16& to, float value) { to.bits = __bfloat16_as_ushort(__float2bfloat16_rn(value)); }
GSNET_DEVICE inline void put(Tf32& to, float value) { asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(to.bits) : "f"(value)); }

GSNET_DEVICE inline uint32_t packed(Bf16, const float* from) {
  const __nv_bfloat162 two = __floats2bfloat162_rn(from[0], from[1]);
  uint32_t word;
  memcpy(&word, &two, sizeof(word));
  return word;
}
GSNET_DEVICE inline uint32_t packed(Tf32, const float* from) {
  Tf32 number;
  put(number, *from);
  return number.bits;
}

GSNET_DEVICE inline void multiply_add(Bf16, float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

GSNET_DEVICE inline void multiply_add(Tf32, float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Four matrices of 8 rows of 16 bytes; a lane gives the address of a row, and takes two bf16 of a row of each; or of a
/// column.
template <bool kColumns = false>
GSNET_DEVICE inline void load_matrices(uint32_t (&to)[4], const void* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (kColumns) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
  }
}

template <class Number, int kRows, int kColumns>
GSNET_DEVICE WarpSums<Number, kRows, kColumns>::WarpSums(const Number* right) {
  read(right);
  GSNET_UNROLL
  for (int r = 0; r < kRows; ++r) {
    GSNET_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      GSNET_UNROLL
      for (int e = 0; e < 8; ++e) sums_[r][c][e / 4][e % 4] = 0;
    }
  }
}

template <class Number, int kRows, int kColumns>
GSNET_DEVICE void WarpSums<Number, kRows, kColumns>::read(const Number* right) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  GSNET_UNROLL
  for (int c = 0; c < kColumns; ++c) right_[c] = reinterpret_cast<const uint4*>(right + c * kBlock)[lane];
}

template <class Number, int kRows, int kColumns>
GSNET_DEVICE void WarpSums<Number, kRows, kColumns>::add(const Number* a, int step, const Number* next_right) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  uint4 right[kColumns];
  GSNET_UNROLL
  for (int c = 0; c < kColumns; ++c) right[c] = right_[c];
  read(next_right);
  const Number* row = a + lane % kSide * step + lane / kSide * kChunk<Number>;
  GSNET_UNROLL
  for (int r = 0; r < kRows; ++r) {
    uint32_t left[4];
    load_matrices(left, row + r * kSide * step);
    GSNET_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      multiply_add(Number{}, sums_[r][c][0], left, right[c].x, right[c].y);
      multiply_add(Number{}, sums_[r][c][1], left, right[c].z, right[c].w);
    }
  }
}

template <class Number, int kRows, int kColumns>
template <class Look, class Use>
GSNET_DEVICE void WarpSums<Number, kRows, kColumns>::each_pair(Look look, Use use) const {
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads, column = 2 * (lane % 4);
  GSNET_UNROLL
  for (int i = 0; i < 2 * kRows; ++i) {
    const int r = i / 2, low = i % 2, row = r * kSide + lane / 4 + 8 * low;
    Run<2> found[2 * kColumns];
    GSNET_UNROLL
    for (int c = 0; c < 2 * kColumns; ++c) found[c] = look(row, 8 * c + column);
    GSNET_UNROLL
    for (int c = 0; c < 2 * kColumns; ++c) {
      const float* pair = sums_[r][c / 2][c % 2] + 2 * low;
      use(row, 8 * c + column, found[c], Run<2>{{pair[0], pair[1]}});
    }
  }
}

template <int kRows, int kShifts>
GSNET_DEVICE void WarpOuterSums<kRows, kShifts>::clear() {
  GSNET_UNROLL
  for (int e = 0; e < kRows * kShifts * 8; ++e) sums_[e / (8 * kShifts)][e / 8 % kShifts][e / 4 % 2][e % 4] = 0;
}

template <int kRows, int kShifts>
GSNET_DEVICE void WarpOuterSums<kRows, kShifts>::add(const Bf16* a, int a_step, const Bf16* b, int b_step) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads, matrix = lane / 8;
  const Bf16* of_a = a + (lane % 8 + matrix / 2 * 8) * a_step + matrix % 2 * 8;
  const Bf16* of_b = b + (lane % 8 + matrix % 2 * 8) * b_step + matrix / 2 * 8;
  uint32_t left[kRows][4];
  GSNET_UNROLL
  for (int r = 0; r < kRows; ++r) load_matrices<true>(left[r], of_a + r * kSide);
  GSNET_UNROLL
  for (int shift = 0; shift < kShifts; ++shift) {
    uint32_t right[4];
    load_matrices<true>(right, of_b + shift * b_step);
    GSNET_UNROLL
    for (int r = 0; r < kRows; ++r) {
      multiply_add(Bf16{}, sums_[r][shift][0], left[r], right[0], right[1]);
      multiply_add(Bf16{}, sums_[r][shift][1], left[r], right[2], right[3]);
    }
  }
}

template <int kRows, int kShifts>
template <class Body>
GSNET_DEVICE void WarpOuterSums<kRows, kShifts>::each_pair(Body body) const {
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  GSNET_UNROLL
  for (int e = 0; e < kRows * kShifts * 4; ++e) {
    const int r = e / (4 * kShifts), shift = e / 4 % kShifts, half = e / 2 % 2, low = e % 2;
    const float* pair = sums_[r][shift][half] + 2 * low;
    body(r, shift, lane / 4 + 8 * low, 8 * half + 2 * (lane % 4), Run<2>{{pair[0], pair[1]}});
  }
}

}  // namespace gsnet::cuda
