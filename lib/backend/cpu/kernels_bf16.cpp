// The series kernels with operands of bf16; compile with -mavx512f -mavx512bw -mavx512bf16 -mfma -O3. What AMX adds
// needs no flag.
#define GSNET_ISA isa_bf16
#include "backend/cpu/series_amx.inc.h"
#include "backend/cpu/series_bf16.inc.h"

namespace gsnet::cpu {

const ReducedKernels& reduced_kernels() {
  static constexpr ReducedKernels kernels = {"AVX512-BF16",
                                             isa_bf16::kLargestRun,
                                             false,
                                             isa_bf16::round,
                                             isa_bf16::round_pairs,
                                             isa_bf16::pair_weights_before,
                                             isa_bf16::pack_pairs,
                                             isa_bf16::reduced_conv,
                                             isa_bf16::reduced_products,
                                             isa_bf16::reduced_gradient,
                                             isa_bf16::reduced_tile_kernels<isa_bf16::Toeplitz2>(),
                                             isa_bf16::reduced_tile_kernels<isa_bf16::Winograd4>()};
  return kernels;
}

const ReducedKernels& reduced_kernels_amx() {
  static constexpr ReducedKernels kernels = {"AMX",
                                             isa_bf16::kLargestTileRun,
                                             true,
                                             isa_bf16::round,
                                             isa_bf16::round_pairs,
                                             isa_bf16::tile_weights_before,
                                             isa_bf16::pack_tiles,
                                             isa_bf16::tile_conv,
                                             isa_bf16::all_tile_products,
                                             isa_bf16::tile_gradient,
                                             isa_bf16::reduced_tile_kernels<isa_bf16::Toeplitz2>(),
                                             isa_bf16::reduced_tile_kernels<isa_bf16::Winograd4>()};
  return kernels;
}

}  // namespace gsnet::cpu
