// The kernels for AVX-512; compile with -mavx512f -mfma -O3.
#define GSNET_ISA isa_avx512
#include "backend/cpu/row_kernels.inc.h"
#include "backend/cpu/series_kernels.inc.h"

namespace gsnet::cpu {

const SeriesKernels& series_kernels_avx512() {
  static constexpr SeriesKernels kernels = {"AVX-512",
                                            true,
                                            isa_avx512::kVector,
                                            isa_avx512::kLargestRun,
                                            isa_avx512::load_block,
                                            isa_avx512::store_block,
                                            isa_avx512::spread_pixels,
                                            isa_avx512::gather_pixels,
                                            isa_avx512::columns_of,
                                            isa_avx512::conv,
                                            isa_avx512::stores_done,
                                            isa_avx512::products,
                                            isa_avx512::gradient,
                                            isa_avx512::small_gradient,
                                            isa_avx512::tile_kernels<isa_avx512::Toeplitz2>(),
                                            isa_avx512::tile_kernels<isa_avx512::Winograd4>(),
                                            isa_avx512::line_kernels<isa_avx512::Winograd4>(),
                                            nullptr};
  return kernels;
}

const RowKernels& row_kernels_avx512() { return isa_avx512::kRowKernels; }

}  // namespace gsnet::cpu
