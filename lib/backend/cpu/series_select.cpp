// Which instruction set the processor has.
#include "backend/cpu/series_kernels.h"

namespace gsnet::cpu {

const SeriesKernels& series_kernels() {
  if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw")) {
    static const SeriesKernels with_bf16 = [] {
      SeriesKernels kernels = series_kernels_avx512();
      kernels.reduced = &reduced_kernels();
      return kernels;
    }();
    return with_bf16;
  }
  if (__builtin_cpu_supports("avx512f")) return series_kernels_avx512();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return series_kernels_avx2();
  return series_kernels_base();
}

}  // namespace gsnet::cpu
