// Which instruction set the processor has.
#include "backend/cpu/row_kernels.h"
#include "backend/cpu/series_kernels.h"

#if defined(__linux__) && defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace gsnet::cpu {
namespace {

/// Whether the processor has AMX and the system saves its tiles. Linux wants to be asked, once a process, for all its
/// threads.
bool may_use_amx() {
#if defined(__linux__) && defined(__x86_64__)
  constexpr unsigned kTiles = 1U << 24, kProductsOfBf16 = 1U << 22;  // of leaf 7, edx
  constexpr int kRequestPermission = 0x1023, kTileData = 18;         // arch_prctl: ARCH_REQ_XCOMP_PERM
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  if ((d & kTiles) == 0 || (d & kProductsOfBf16) == 0) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

SeriesKernels with_reduced(const char* name, const ReducedKernels& reduced) {
  SeriesKernels kernels = series_kernels_avx512();
  kernels.name = name;
  kernels.reduced = &reduced;
  return kernels;
}

}  // namespace

const SeriesKernels& series_kernels() {
  if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw")) {
    static const SeriesKernels kernels = may_use_amx() ? with_reduced("AVX-512, AMX", reduced_kernels_amx())
                                                       : with_reduced("AVX-512", reduced_kernels());
    return kernels;
  }
  if (__builtin_cpu_supports("avx512f")) return series_kernels_avx512();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return series_kernels_avx2();
  return series_kernels_base();
}

const RowKernels& row_kernels() {
  static const RowKernels& kernels = __builtin_cpu_supports("avx512f") ? row_kernels_avx512()
                                     : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
                                         ? row_kernels_avx2()
                                         : row_kernels_base();
  return kernels;
}

}  // namespace gsnet::cpu
