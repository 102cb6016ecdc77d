// The series kernels with operands of bf16; compile with -mavx512f -mavx512bw -mavx512bf16 -mfma -O3.
#define GSNET_ISA isa_bf16
#include "backend/cpu/series_bf16.inc.h"

namespace gsnet::cpu {

const ReducedKernels& reduced_kernels() {
  static constexpr ReducedKernels kernels = {isa_bf16::round,
                                             isa_bf16::round_pairs,
                                             isa_bf16::reduced_conv,
                                             isa_bf16::reduced_products,
                                             isa_bf16::reduced_gradient,
                                             isa_bf16::reduced_tile_kernels<isa_bf16::Toeplitz2>(),
                                             isa_bf16::reduced_tile_kernels<isa_bf16::Winograd4>()};
  return kernels;
}

}  // namespace gsnet::cpu
