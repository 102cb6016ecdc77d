// Products of small matrices by the threads of a warp together: on tensor cores, or as host loops that move numbers
// between lanes as PTX's manual says of ldmatrix and mma.
#pragma once

#include <cstdint>

#include "backend/cuda/loops.h"

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

GSNET_DEVICE inline void put(Bf16& to, float value);
GSNET_DEVICE inline void put(Tf32& to, float value);

/// Two of the one, one of the other in 4 bytes, the first one lowest.
GSNET_DEVICE inline uint32_t packed(Bf16, const float* from);
GSNET_DEVICE inline uint32_t packed(Tf32, const float* from);

/// n neighbours at once, a multiple of 4 bytes.
template <class Number, int n>
GSNET_DEVICE void put_run(Number* to, const Run<n>& run) {
  constexpr int kHeld = 4 / static_cast<int>(sizeof(Number)), kWords = n / kHeld;
  struct alignas(4 * kWords) Words {
    uint32_t of[kWords];
  } words;
  GSNET_UNROLL
  for (int w = 0; w < kWords; ++w) words.of[w] = packed(Number{}, run.of + w * kHeld);
  *reinterpret_cast<Words*>(to) = words;
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
  /// use(row, column, look(row, column), sums) for pairs of sums, those of `column` and the next one; every lane looks
  /// for all of its pairs of a row before it uses them.
  template <class Look, class Use>
  GSNET_DEVICE void each_pair(Look look, Use use) const;

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

}  // namespace gsnet::cuda

#ifdef __CUDACC__
#include "backend/cuda/warp_product_device.h"
#else
#include "backend/cuda/warp_product_host.h"
#endif
