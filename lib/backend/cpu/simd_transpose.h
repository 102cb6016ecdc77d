// Tiles of as many rows as a vector has lanes, transposed in registers.
#pragma once

#include <utility>

#include "backend/cpu/simd.h"

namespace gsnet::cpu::GSNET_ISA {

constexpr int64_t kTile = kVector;

struct Tile {
  Vector rows[kTile];
};

/// Lanes that shuffles of two vectors of n pick, n + i being lane i of the second.
template <int kFirst>
struct InterleavedLanes {  ///< the two vectors in turn, of every four lanes the first or the last two
  static constexpr int at(int lane, int n) { return lane / 4 * 4 + kFirst * 2 + lane % 4 / 2 + lane % 2 * n; }
};
template <int kFirst>
struct PairedLanes {  ///< likewise pairs of lanes
  static constexpr int at(int lane, int n) { return lane / 4 * 4 + kFirst * 2 + lane % 2 + lane % 4 / 2 * n; }
};
template <int kFirst>
struct FourLanes {  ///< every second four lanes of the first vector, then of the second
  static constexpr int at(int lane, int n) { return lane * 2 / n * n + lane / 4 * 8 % n + kFirst * 4 + lane % 4; }
};
template <int kFirst>
struct FourLanesOfHalves {  ///< the same in each half
  static constexpr int at(int lane, int n) { return lane / 8 * 8 + kFirst * 4 + lane % 4 + lane % 8 / 4 * n; }
};
struct JoinedLanes {  ///< one after the other
  static constexpr int at(int lane, int) { return lane; }
};
template <int kFirst>
struct HalfOfLanes {  ///< the first or the last half of the lanes
  static constexpr int at(int lane, int n) { return kFirst * n + lane; }
};

template <class Which, class V, int... kLanes>
[[gnu::always_inline]] static inline auto picked(V a, V b, std::integer_sequence<int, kLanes...>) {
  return __builtin_shufflevector(a, b, Which::at(kLanes, static_cast<int>(sizeof...(kLanes)))...);
}
template <class Which, class V>
[[gnu::always_inline]] static inline V picked(V a, V b) {
  return picked<Which>(a, b, std::make_integer_sequence<int, kVector>());
}

/// quarters[4 g + k] has columns k, 4 + k, … of rows 4 g to 4 g + 3.
template <int kRows>
[[gnu::always_inline]] static inline void transpose_fours(const Vector* rows, Vector* quarters) {
#pragma GCC unroll 4
  for (int i = 0; i < kRows; i += 4) {
    const Vector a = picked<InterleavedLanes<0>>(rows[i], rows[i + 1]),
                 b = picked<InterleavedLanes<1>>(rows[i], rows[i + 1]);
    const Vector c = picked<InterleavedLanes<0>>(rows[i + 2], rows[i + 3]);
    const Vector d = picked<InterleavedLanes<1>>(rows[i + 2], rows[i + 3]);
    quarters[i] = picked<PairedLanes<0>>(a, c);
    quarters[i + 1] = picked<PairedLanes<1>>(a, c);
    quarters[i + 2] = picked<PairedLanes<0>>(b, d);
    quarters[i + 3] = picked<PairedLanes<1>>(b, d);
  }
}

[[gnu::always_inline]] static inline Tile transposed(const Tile& tile) {
  Vector q[kTile];
  transpose_fours<kTile>(tile.rows, q);
  Tile made;
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    if constexpr (kVector == 4) {
      made.rows[k] = q[k];
    } else if constexpr (kVector == 8) {
      made.rows[k] = picked<FourLanes<0>>(q[k], q[4 + k]);
      made.rows[4 + k] = picked<FourLanes<1>>(q[k], q[4 + k]);
    } else {
      const Vector even = picked<FourLanes<0>>(q[k], q[4 + k]), even2 = picked<FourLanes<0>>(q[8 + k], q[12 + k]);
      const Vector odd = picked<FourLanes<1>>(q[k], q[4 + k]), odd2 = picked<FourLanes<1>>(q[8 + k], q[12 + k]);
      made.rows[k] = picked<FourLanes<0>>(even, even2);
      made.rows[4 + k] = picked<FourLanes<0>>(odd, odd2);
      made.rows[8 + k] = picked<FourLanes<1>>(even, even2);
      made.rows[12 + k] = picked<FourLanes<1>>(odd, odd2);
    }
  }
  return made;
}

#if defined(__AVX512F__)
using HalfVector = float __attribute__((vector_size(32)));
using LooseHalf = float __attribute__((vector_size(32), aligned(4), may_alias));
using HalfLanes = std::make_integer_sequence<int, 8>;

static inline HalfVector load_half(const float* p) { return *reinterpret_cast<const LooseHalf*>(p); }
static inline void store_half(float* p, HalfVector v) { *reinterpret_cast<LooseHalf*>(p) = v; }

/// Eight rows, of which each half is a row of an 8 x 8 tile of its own: both transposed.
struct HalfTiles {
  Vector rows[8];
};
[[gnu::always_inline]] static inline HalfTiles transposed(const HalfTiles& tile) {
  Vector q[8];
  transpose_fours<8>(tile.rows, q);
  HalfTiles made;
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    made.rows[k] = picked<FourLanesOfHalves<0>>(q[k], q[4 + k]);
    made.rows[4 + k] = picked<FourLanesOfHalves<1>>(q[k], q[4 + k]);
  }
  return made;
}

/// transpose_tile of 16 rows by up to 8, and transpose_tile_out of up to 8 by 16: groups of few channels are common.
[[gnu::always_inline]] static inline void transpose_few(const float* from, int64_t from_stride, int64_t columns,
                                                        float scale, float* to, int64_t to_stride) {
  const auto row = [&](int64_t i) {
    const float* at = from + i * from_stride;
    if (columns == 8) return load_half(at);
    const Vector v = load_first(at, columns);
    return picked<HalfOfLanes<0>>(v, v, HalfLanes());
  };
  HalfTiles tile;
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    tile.rows[i] = fill(scale) * picked<JoinedLanes>(row(i), row(i + 8), std::make_integer_sequence<int, kVector>());
  }
  tile = transposed(tile);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    if (i < columns) store(to + i * to_stride, tile.rows[i]);
  }
}
[[gnu::always_inline]] static inline void transpose_few_out(const float* from, int64_t from_stride, int64_t rows,
                                                            float* to, int64_t to_stride) {
  HalfTiles tile;
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) tile.rows[i] = i < rows ? load(from + i * from_stride) : Vector{};
  tile = transposed(tile);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const HalfVector first = picked<HalfOfLanes<0>>(tile.rows[i], tile.rows[i], HalfLanes());
    const HalfVector second = picked<HalfOfLanes<1>>(tile.rows[i], tile.rows[i], HalfLanes());
    float *at = to + i * to_stride, *after = to + (i + 8) * to_stride;
    if (rows == 8) {
      store_half(at, first);
      store_half(after, second);
    } else {
      _mm256_maskstore_ps(at, first_lanes(rows), first);
      _mm256_maskstore_ps(after, first_lanes(rows), second);
    }
  }
}
#endif

/// Row j of what is returned is column j of from, times scale: of a tile of which only `rows` x `columns` are there to
/// be read; zeros in place of missing rows.
[[gnu::always_inline]] static inline Tile load_transposed(const float* from, int64_t from_stride, int64_t rows,
                                                          int64_t columns, float scale) {
  Tile tile;
  const Vector factor = fill(scale);
  if (rows == kTile && columns == kTile) {
#pragma GCC unroll 16
    for (int i = 0; i < kTile; ++i) tile.rows[i] = factor * load(from + i * from_stride);
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < kTile; ++i) {
      tile.rows[i] = i < rows ? factor * load_first(from + i * from_stride, columns) : Vector{};
    }
  }
  return transposed(tile);
}

/// to[i] = row i of the tile transposed, the first `columns` of it, for i < rows.
[[gnu::always_inline]] static inline void store_transposed(const Tile& tile, int64_t rows, int64_t columns, float* to,
                                                           int64_t to_stride) {
  const Tile made = transposed(tile);
  if (rows == kTile && columns == kTile) {
#pragma GCC unroll 16
    for (int i = 0; i < kTile; ++i) store(to + i * to_stride, made.rows[i]);
    return;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kTile; ++i) {
    if (i < rows) store_first(to + i * to_stride, made.rows[i], columns);
  }
}

/// to[j][i] = scale from[i][j] for a tile, of which only `rows` x `columns` are there to be read, zeros in place of
/// missing rows, and only `columns` are written.
static inline void transpose_tile(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float scale,
                                  float* to, int64_t to_stride) {
#if defined(__AVX512F__)
  if (rows == kTile && columns <= 8) return transpose_few(from, from_stride, columns, scale, to, to_stride);
#endif
  const Tile tile = load_transposed(from, from_stride, rows, columns, scale);
#pragma GCC unroll 16
  for (int i = 0; i < kTile; ++i) {
    if (i < columns) store(to + i * to_stride, tile.rows[i]);
  }
}

/// to[j][i] = from[i][j] for i < rows, j < columns of a tile; whole rows are read, and nothing else written.
static inline void transpose_tile_out(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
                                      int64_t to_stride) {
#if defined(__AVX512F__)
  if (rows <= 8 && columns == kTile) return transpose_few_out(from, from_stride, rows, to, to_stride);
#endif
  Tile tile;
#pragma GCC unroll 16
  for (int i = 0; i < kTile; ++i) tile.rows[i] = i < rows ? load(from + i * from_stride) : Vector{};
  store_transposed(tile, columns, rows, to, to_stride);
}

/// to[j][i] = scale from[i][j] for j < columns, i < padded_rows: from has `rows` rows of `columns`, further rows count
/// as zeros. padded_rows and to's rows are whole tiles.
static inline void transpose(const float* from, int64_t from_stride, int64_t rows, int64_t padded_rows, int64_t columns,
                             float scale, float* to, int64_t to_stride) {
  for (int64_t i = 0; i < padded_rows; i += kTile) {
    const int64_t high = i < rows ? smaller(rows - i, kTile) : 0;
    for (int64_t j = 0; j < columns; j += kTile) {
      transpose_tile(from + i * from_stride + j, from_stride, high, smaller(columns - j, kTile), scale,
                     to + j * to_stride + i, to_stride);
    }
  }
}

/// to[j][i] = from[i][j] for i < rows, j < columns; from's rows are whole tiles, to's need not be.
static inline void transpose_out(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
                                 int64_t to_stride) {
  for (int64_t i = 0; i < rows; i += kTile) {
    for (int64_t j = 0; j < columns; j += kTile) {
      transpose_tile_out(from + i * from_stride + j, from_stride, smaller(rows - i, kTile), smaller(columns - j, kTile),
                         to + j * to_stride + i, to_stride);
    }
  }
}

}  // namespace gsnet::cpu::GSNET_ISA
