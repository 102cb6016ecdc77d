// The kernels for AVX2; compile with -mavx2 -mfma -O3.
#define GSNET_ISA isa_avx2
#include "backend/cpu/row_kernels.inc.h"
#include "backend/cpu/series_kernels.inc.h"

namespace gsnet::cpu {

const SeriesKernels& series_kernels_avx2() {
  static constexpr SeriesKernels kernels = {"AVX2",
                                            true,
                                            isa_avx2::kVector,
                                            isa_avx2::kLargestRun,
                                            isa_avx2::load_block,
                                            isa_avx2::store_block,
                                            isa_avx2::spread_pixels,
                                            isa_avx2::gather_pixels,
                                            isa_avx2::columns_of,
                                            isa_avx2::conv,
                                            isa_avx2::stores_done,
                                            isa_avx2::products,
                                            isa_avx2::gradient,
                                            isa_avx2::small_gradient,
                                            isa_avx2::tile_kernels<isa_avx2::Toeplitz2>(),
                                            isa_avx2::tile_kernels<isa_avx2::Winograd4>(),
                                            isa_avx2::line_kernels<isa_avx2::Winograd4>(),
                                            nullptr};
  return kernels;
}

const RowKernels& row_kernels_avx2() { return isa_avx2::kRowKernels; }

}  // namespace gsnet::cpu
