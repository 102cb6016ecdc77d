// What kernels note on the device, for the host to find at the next transfer.
#pragma once

#include "backend/cuda/loops.h"

namespace gsnet::cuda {

constexpr const char* kNoNorm = "[matrix_exp] the matrix must be finite and of norm below 1e6";

enum class Fault : int32_t { none, label, row, singular, norm, squarings };

/// index[i], which must be in [0, count); what is not is noted, and counts as 0.
GSNET_DEVICE inline int32_t index_at(const int32_t* index, int64_t i, int64_t count, Fault fault, int32_t* faults) {
  const int32_t value = index[i];
  if (value >= 0 && value < count) return value;
  *faults = static_cast<int32_t>(fault);
  return 0;
}

}  // namespace gsnet::cuda
