// The kernels for baseline x86-64; compile with the compiler's defaults.
#define GSNET_ISA isa_base
#include "backend/cpu/row_kernels.inc.h"
#include "backend/cpu/series_kernels.inc.h"

namespace gsnet::cpu {

const SeriesKernels& series_kernels_base() {
  static constexpr SeriesKernels kernels = {"baseline x86-64",
                                            false,
                                            isa_base::kVector,
                                            isa_base::kLargestRun,
                                            isa_base::load_block,
                                            isa_base::store_block,
                                            isa_base::spread_pixels,
                                            isa_base::gather_pixels,
                                            isa_base::columns_of,
                                            isa_base::conv,
                                            isa_base::stores_done,
                                            isa_base::products,
                                            isa_base::gradient,
                                            isa_base::small_gradient,
                                            isa_base::tile_kernels<isa_base::Toeplitz2>(),
                                            isa_base::tile_kernels<isa_base::Winograd4>(),
                                            isa_base::line_kernels<isa_base::Winograd4>(),
                                            nullptr};
  return kernels;
}

const RowKernels& row_kernels_base() { return isa_base::kRowKernels; }

}  // namespace gsnet::cpu
