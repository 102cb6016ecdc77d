// Products of small matrices by the threads of a warp together: on tensor cores, or as host loops that move numbers
// between lanes as PTX's manual says of ldmatrix and mma.
#pragma once

#include <cstdint>

#include "backend/cuda/loops.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#else
#include <bit>
#endif

namespace gsnet::cuda {

/// Numbers as they are multiplied. tf32 lies in memory rounded.
struct Bf16 {
  uint16_t bits;
};
struct Tf32 {
  uint32_t bits;
};

/// Of 16 bytes.
template <class Number>
constexpr int kChunk = 16 / static_cast<int>(sizeof(Number));

#ifdef __CUDACC__

GSNET_DEVICE inline void put(Bf16& to, float value) { to.bits = __bfloat16_as_ushort(__float2bfloat16_rn(value)); }
GSNET_DEVICE inline void put(Tf32& to, float value) { asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(to.bits) : "f"(value)); }

#else

inline void put(Bf16& to, float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const bool nan = (bits & 0x7fffffff) > 0x7f800000;
  to.bits = static_cast<uint16_t>(nan ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline void put(Tf32& to, float value) { to.bits = (std::bit_cast<uint32_t>(value) + 0x1000) & 0xffffe000; }
inline float value_of(Bf16 number) { return std::bit_cast<float>(static_cast<uint32_t>(number.bits) << 16); }
inline float value_of(Tf32 number) { return std::bit_cast<float>(number.bits); }

#endif

/// n neighbours at once.
template <class Number, int n>
GSNET_DEVICE void put_run(Number* to, const Run<n>& run) {
  struct alignas(n * sizeof(Number)) Numbers {
    Number of[n];
  } numbers;
  GSNET_UNROLL
  for (int e = 0; e < n; ++e) put(numbers.of[e], run.of[e]);
  *reinterpret_cast<Numbers*>(to) = numbers;
}

/// Right factors lie in blocks, so that a lane reads 16 bytes: which entry of (depth, 16) number e of a block is.
/// PTX, "Matrix Fragments for mma": .m16n8k16 of .bf16, .m16n8k8 of .tf32, two of them.
template <class Number>
struct RightPlace {
  int k, column;

  GSNET_ANYWHERE explicit RightPlace(int e) {
    constexpr int kHeld = kChunk<Number> / 4;  // numbers of a register
    const int lane = e / kChunk<Number>, part = e % kChunk<Number> / kHeld;
    k = kChunk<Number> * (part % 2) + lane % 4 * kHeld + e % kHeld;
    column = 8 * (part / 2) + lane / 4;
  }
};

/// kRows x kColumns squares of 16 x 16 sums, held by a warp. All its threads call everything together.
template <class Number, int kRows, int kColumns>
class WarpSums {
 public:
  static constexpr int kSide = 16, kDepth = 2 * kChunk<Number>;
  static constexpr int kBlock = kDepth * kSide;  ///< numbers of a right factor for one column of squares

  /// Reads the first right factor, kColumns blocks.
  GSNET_DEVICE explicit WarpSums(const Number* right);
  /// Adds the product of a (16 kRows, kDepth), in shared memory at multiples of 16 bytes, rows `step` numbers apart,
  /// with the right factor that was read before; reads the next one.
  GSNET_DEVICE void add(const Number* a, int step, const Number* next_right);
  /// body(r, c, row, column, sums): of square (r, c), columns `column` and the next one.
  template <class Body>
  GSNET_DEVICE void each_pair(Body body) const;

 private:
#ifdef __CUDACC__
  GSNET_DEVICE void read(const Number* right);

  uint4 right_[kColumns];
  float sums_[kRows][kColumns][2][4];
#else
  static constexpr int kHeld = kChunk<Number> / 4;
  struct Register {
    Number of[kHeld];
  };
  void read(const Number* right);

  Register right_[kColumns][kWarpThreads][4];
  float sums_[kRows][kColumns][2][kWarpThreads][4] = {};
#endif
};

/// The same for sums over rows of both factors: kRows x 1 squares for each of kShifts shifts of the right one.
template <int kRows, int kShifts>
class WarpOuterSums {
 public:
  static constexpr int kSide = 16, kDepth = 16;

  GSNET_DEVICE void clear();
  /// Adds a' b_s: a (16, 16 kRows), b_s (16, 16) from row s of b on; both in shared memory at multiples of 16 bytes,
  /// rows `a_step` and `b_step` numbers apart.
  GSNET_DEVICE void add(const Bf16* a, int a_step, const Bf16* b, int b_step);
  /// body(r, s, row, column, sums): of the square r of shift s, columns `column` and the next one.
  template <class Body>
  GSNET_DEVICE void each_pair(Body body) const;

 private:
#ifdef __CUDACC__
  float sums_[kRows][kShifts][2][4];
#else
  float sums_[kRows][kShifts][2][kWarpThreads][4] = {};
#endif
};

#ifdef __CUDACC__

GSNET_DEVICE inline void multiply_add(Bf16, float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

GSNET_DEVICE inline void multiply_add(Tf32, float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
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
template <class Body>
GSNET_DEVICE void WarpSums<Number, kRows, kColumns>::each_pair(Body body) const {
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  GSNET_UNROLL
  for (int r = 0; r < kRows; ++r) {
    GSNET_UNROLL
    for (int low = 0; low < 2; ++low) {
      GSNET_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        GSNET_UNROLL
        for (int half = 0; half < 2; ++half) {
          const float* pair = sums_[r][c][half] + 2 * low;
          body(r, c, lane / 4 + 8 * low, 8 * half + 2 * (lane % 4), Run<2>{{pair[0], pair[1]}});
        }
      }
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

#else

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
template <class Body>
void WarpSums<Number, kRows, kColumns>::each_pair(Body body) const {
  for (int i = 0; i < kRows * kColumns * 2 * kWarpThreads * 2; ++i) {
    const int low = i % 2, lane = i / 2 % kWarpThreads, half = i / (2 * kWarpThreads) % 2;
    const int square = i / (4 * kWarpThreads), c = square % kColumns, r = square / kColumns;
    const float* pair = sums_[r][c][half][lane] + 2 * low;
    body(r, c, lane / 4 + 8 * low, 8 * half + 2 * (lane % 4), Run<2>{{pair[0], pair[1]}});
  }
}

template <int kRows, int kShifts>
void WarpOuterSums<kRows, kShifts>::clear() {
  for (int e = 0; e < kRows * kShifts * 8 * kWarpThreads; ++e) (&sums_[0][0][0][0][0])[e] = 0;
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

#endif

}  // namespace gsnet::cuda
