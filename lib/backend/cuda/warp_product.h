// Products of small matrices by the threads of a warp together: on tensor cores, or as host loops of the same numbers.
#pragma once

#include <cstdint>

#include "backend/cuda/loops.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <mma.h>
#else
#include <bit>
#endif

namespace gsnet::cuda {

/// A bf16 number in memory.
struct Bf16 {
  uint16_t bits;
};

/// What is multiplied: numbers as they lie in memory, how many a product sums over at once, and how floats become them.
template <class Number>
struct Factor;

#ifdef __CUDACC__

GSNET_DEVICE inline void put(Bf16& to, float value) { to.bits = __bfloat16_as_ushort(__float2bfloat16_rn(value)); }

template <>
struct Factor<Bf16> {
  static constexpr int kDepth = 16;
  using Held = __nv_bfloat16;
  template <class Fragment>
  static GSNET_DEVICE void round(Fragment&) {}
};

/// tf32: rounded on the way to the product.
template <>
struct Factor<float> {
  static constexpr int kDepth = 8;
  using Held = nvcuda::wmma::precision::tf32;
  template <class Fragment>
  static GSNET_DEVICE void round(Fragment& fragment) {
    for (int i = 0; i < fragment.num_elements; ++i) fragment.x[i] = nvcuda::wmma::__float_to_tf32(fragment.x[i]);
  }
};

#else

inline void put(Bf16& to, float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const bool nan = (bits & 0x7fffffff) > 0x7f800000;
  to.bits = static_cast<uint16_t>(nan ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

template <>
struct Factor<Bf16> {
  static constexpr int kDepth = 16;
  static float value(Bf16 number) { return std::bit_cast<float>(static_cast<uint32_t>(number.bits) << 16); }
};

template <>
struct Factor<float> {
  static constexpr int kDepth = 8;
  static float value(float number) {
    return std::bit_cast<float>((std::bit_cast<uint32_t>(number) + 0x1000) & 0xffffe000);
  }
};

#endif

GSNET_DEVICE inline void put(float& to, float value) { to = value; }

/// kRows x kColumns squares of 16 x 16 sums, held by a warp. All its threads call everything together.
template <class Number, int kRows, int kColumns>
class WarpSums {
 public:
  static constexpr int kSide = 16, kDepth = Factor<Number>::kDepth;

  GSNET_DEVICE WarpSums();
  /// Adds the product of a (16 kRows, kDepth) and b (kDepth, 16 kColumns), rows `a_step` and `b_step` numbers apart.
  /// The first numbers of their rows lie at multiples of 32 bytes.
  GSNET_DEVICE void add(const Number* a, int64_t a_step, const Number* b, int64_t b_step);
  /// One square to a row-major one, for the warp to read.
  GSNET_DEVICE void store(int row, int column, float* to) const;

 private:
#ifdef __CUDACC__
  template <class Use>
  using Fragment =
      nvcuda::wmma::fragment<Use, kSide, kSide, kDepth, typename Factor<Number>::Held, nvcuda::wmma::row_major>;
  nvcuda::wmma::fragment<nvcuda::wmma::accumulator, kSide, kSide, kDepth, float> sums_[kRows][kColumns];
#else
  float sums_[kRows][kColumns][kSide][kSide];
#endif
};

#ifdef __CUDACC__

template <class Number, int kRows, int kColumns>
GSNET_DEVICE WarpSums<Number, kRows, kColumns>::WarpSums() {
  for (auto& row : sums_) {
    for (auto& square : row) nvcuda::wmma::fill_fragment(square, 0.0F);
  }
}

template <class Number>
GSNET_DEVICE const auto* in_library(const Number* numbers) {
  if constexpr (sizeof(Number) == sizeof(Bf16)) {
    return reinterpret_cast<const __nv_bfloat16*>(numbers);
  } else {
    return numbers;
  }
}

template <class Number, int kRows, int kColumns>
GSNET_DEVICE void WarpSums<Number, kRows, kColumns>::add(const Number* a, int64_t a_step, const Number* b,
                                                         int64_t b_step) {
  Fragment<nvcuda::wmma::matrix_a> left[kRows];
  Fragment<nvcuda::wmma::matrix_b> right[kColumns];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    nvcuda::wmma::load_matrix_sync(left[r], in_library(a + r * kSide * a_step), static_cast<unsigned>(a_step));
    Factor<Number>::round(left[r]);
  }
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    nvcuda::wmma::load_matrix_sync(right[c], in_library(b + c * kSide), static_cast<unsigned>(b_step));
    Factor<Number>::round(right[c]);
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) nvcuda::wmma::mma_sync(sums_[r][c], left[r], right[c], sums_[r][c]);
  }
}

template <class Number, int kRows, int kColumns>
GSNET_DEVICE void WarpSums<Number, kRows, kColumns>::store(int row, int column, float* to) const {
  __syncwarp();  // what was stored before is read
  nvcuda::wmma::store_matrix_sync(to, sums_[row][column], kSide, nvcuda::wmma::mem_row_major);
  __syncwarp();
}

#else

template <class Number, int kRows, int kColumns>
WarpSums<Number, kRows, kColumns>::WarpSums() : sums_{} {}

template <class Number, int kRows, int kColumns>
void WarpSums<Number, kRows, kColumns>::add(const Number* a, int64_t a_step, const Number* b, int64_t b_step) {
  for (int r = 0; r < kRows * kSide; ++r) {
    for (int c = 0; c < kColumns * kSide; ++c) {
      float& sum = sums_[r / kSide][c / kSide][r % kSide][c % kSide];
      for (int k = 0; k < kDepth; ++k) {
        sum += Factor<Number>::value(a[r * a_step + k]) * Factor<Number>::value(b[k * b_step + c]);
      }
    }
  }
}

template <class Number, int kRows, int kColumns>
void WarpSums<Number, kRows, kColumns>::store(int row, int column, float* to) const {
  for (int i = 0; i < kSide * kSide; ++i) to[i] = sums_[row][column][i / kSide][i % kSide];
}

#endif

}  // namespace gsnet::cuda
