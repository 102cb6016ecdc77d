#include "backend/cpu/gemm.h"

#include <fmt/format.h>
#include <oneapi/dnnl/dnnl.h>

#include <algorithm>

#include "backend/cpu/omp_threads.h"
#include "backend/host/parallel.h"
#include "core/error.h"

namespace gsnet::cpu {
namespace {

/// The part above the diagonal from the part below it, in squares that stay in cache.
void mirror(int threads, int64_t m, float* y) {
  constexpr int64_t kSide = 32;
  const int64_t sides = (m + kSide - 1) / kSide;
  host::parallel_for(threads, sides, m * kSide, [&](int64_t begin, int64_t end) {
    for (int64_t top = begin * kSide; top < std::min(end * kSide, m); top += kSide) {
      for (int64_t left = top; left < m; left += kSide) {
        for (int64_t r = top; r < std::min(top + kSide, m); ++r) {
          for (int64_t c = std::max(left, r + 1); c < std::min(left + kSide, m); ++c) y[r * m + c] = y[c * m + r];
        }
      }
    }
  });
}

}  // namespace

void multiply(int threads, const Product& s, const float* a, const float* b, float* y) {
  const OmpThreads scope(threads);
  const auto status = dnnl_sgemm(s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', s.rows, s.columns, s.inner,
                                 s.scale, a, s.stride_a, b, s.stride_b, 0.0F, y, s.stride_y);
  GSNET_CHECK(status == dnnl_success, fmt::format("[gemm] oneDNN refused a product of {} x {} x {}: status {}", s.rows,
                                                  s.columns, s.inner, static_cast<int>(status)));
}

void multiply_symmetric(int threads, const SymmetricProduct& s, const float* a, const float* b, float* y) {
  const int64_t step = std::max<int64_t>(64, (s.m / 8 + 15) / 16 * 16);
  for (int64_t first = 0; first < s.m; first += step) {
    const int64_t last = std::min(first + step, s.m);
    multiply(threads,
             {last - first, last, s.inner, false, s.transpose_b, s.inner, s.transpose_b ? s.inner : s.m, s.m, s.scale},
             a + first * s.inner, b, y + first * s.m);
  }
  mirror(threads, s.m, y);
}

}  // namespace gsnet::cpu
