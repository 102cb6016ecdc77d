// Vectors of floats for one instruction set. The including file is compiled for it and defines GSNET_ISA, the name of
// the namespace that keeps its code apart.
#pragma once

#include <immintrin.h>
#include <stdint.h>

namespace gsnet::cpu::GSNET_ISA {

#if defined(__AVX512F__)
constexpr int64_t kVector = 16;
constexpr int kAccumulators = 28;  // of 32 registers
#elif defined(__AVX2__)
constexpr int64_t kVector = 8;
constexpr int kAccumulators = 12;  // of 16 registers
#else
constexpr int64_t kVector = 4;
constexpr int kAccumulators = 12;
#endif

using Vector = float __attribute__((vector_size(kVector * sizeof(float))));
using LooseVector = float __attribute__((vector_size(kVector * sizeof(float)), aligned(4), may_alias));

static inline Vector load(const float* p) { return *reinterpret_cast<const LooseVector*>(p); }
static inline void store(float* p, Vector v) { *reinterpret_cast<LooseVector*>(p) = v; }

/// Past the caches, for what is read much later: nothing is read to be overwritten, nothing driven out. Others see it
/// after stores_done().
static inline void store_past(float* p, Vector v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, v);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, v);
#else
  _mm_stream_ps(p, v);
#endif
}
static inline void stores_done() { _mm_sfence(); }

static inline Vector fill(float a) { return a - Vector{}; }

/// a b + c
static inline Vector multiply_add(Vector a, Vector b, Vector c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

#if defined(__AVX2__)
constexpr int64_t kTile = 8;

/// The first `count` of eight lanes.
static inline __m256i first_lanes(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

struct Tile {
  __m256 rows[8];
};

static inline Tile transposed(const Tile& tile) {
  __m256 r[8], s[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    s[2 * i] = _mm256_unpacklo_ps(tile.rows[2 * i], tile.rows[2 * i + 1]);
    s[2 * i + 1] = _mm256_unpackhi_ps(tile.rows[2 * i], tile.rows[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    r[4 * i] = _mm256_shuffle_ps(s[4 * i], s[4 * i + 2], 0x44);
    r[4 * i + 1] = _mm256_shuffle_ps(s[4 * i], s[4 * i + 2], 0xEE);
    r[4 * i + 2] = _mm256_shuffle_ps(s[4 * i + 1], s[4 * i + 3], 0x44);
    r[4 * i + 3] = _mm256_shuffle_ps(s[4 * i + 1], s[4 * i + 3], 0xEE);
  }
  Tile made;
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    made.rows[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    made.rows[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
  }
  return made;
}

/// to[j][i] = scale from[i][j] for an 8 x 8 tile, of which only `rows` x `columns` are there to be read, zeros in place
/// of missing rows, and only `columns` are written.
static inline void transpose_tile(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float scale,
                                  float* to, int64_t to_stride) {
  Tile tile;
  const __m256 factor = _mm256_set1_ps(scale);
  if (rows == kTile && columns == kTile) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) tile.rows[i] = _mm256_mul_ps(factor, _mm256_loadu_ps(from + i * from_stride));
    tile = transposed(tile);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) _mm256_storeu_ps(to + i * to_stride, tile.rows[i]);
    return;
  }
  const __m256i there = first_lanes(columns);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    tile.rows[i] =
        i < rows ? _mm256_mul_ps(factor, _mm256_maskload_ps(from + i * from_stride, there)) : _mm256_setzero_ps();
  }
  tile = transposed(tile);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    if (i < columns) _mm256_storeu_ps(to + i * to_stride, tile.rows[i]);
  }
}

/// to[j][i] = from[i][j] for i < rows, j < columns of an 8 x 8 tile; whole rows are read.
static inline void transpose_tile_out(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
                                      int64_t to_stride) {
  Tile tile;
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    tile.rows[i] = i < rows ? _mm256_loadu_ps(from + i * from_stride) : _mm256_setzero_ps();
  }
  tile = transposed(tile);
  const __m256i there = first_lanes(rows);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    if (i < columns) _mm256_maskstore_ps(to + i * to_stride, there, tile.rows[i]);
  }
}
#else
constexpr int64_t kTile = 4;

/// The same for 4 x 4 tiles.
static inline void transpose_tile(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float scale,
                                  float* to, int64_t to_stride) {
  __m128 r[4];
  const __m128 factor = _mm_set1_ps(scale);
  for (int i = 0; i < 4; ++i) {
    float line[4] = {};
    for (int64_t c = 0; i < rows && c < columns; ++c) line[c] = from[i * from_stride + c];
    r[i] = _mm_mul_ps(factor, _mm_loadu_ps(line));
  }
  _MM_TRANSPOSE4_PS(r[0], r[1], r[2], r[3]);
  for (int i = 0; i < 4 && i < columns; ++i) _mm_storeu_ps(to + i * to_stride, r[i]);
}

static inline void transpose_tile_out(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
                                      int64_t to_stride) {
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = 0; r < rows; ++r) to[c * to_stride + r] = from[r * from_stride + c];
  }
}
#endif

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

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
    const int64_t high = smaller(rows - i, kTile);
    for (int64_t j = 0; j < columns; j += kTile) {
      const int64_t wide = smaller(columns - j, kTile);
      const float* source = from + i * from_stride + j;
      float* target = to + j * to_stride + i;
      if (high == kTile) {
        transpose_tile(source, from_stride, kTile, wide, 1, target, to_stride);
      } else {  // a whole vector would overwrite what follows, and there are no more rows to be read
        transpose_tile_out(source, from_stride, high, wide, target, to_stride);
      }
    }
  }
}

}  // namespace gsnet::cpu::GSNET_ISA
