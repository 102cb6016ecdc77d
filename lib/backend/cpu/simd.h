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

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

#if defined(__AVX2__)
[[maybe_unused]] static inline __m256i first_lanes(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

/// The first `count` numbers, at most a vector; only these are read, zeros for the others. And the same written.
static inline Vector load_first(const float* p, int64_t count) {
#if defined(__AVX512F__)
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << count) - 1), p);
#elif defined(__AVX2__)
  return _mm256_maskload_ps(p, first_lanes(count));
#else
  Vector v = {};
  for (int64_t i = 0; i < count; ++i) v[i] = p[i];
  return v;
#endif
}
static inline void store_first(float* p, Vector v, int64_t count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1U << count) - 1), v);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(p, first_lanes(count), v);
#else
  for (int64_t i = 0; i < count; ++i) p[i] = v[i];
#endif
}

}  // namespace gsnet::cpu::GSNET_ISA
