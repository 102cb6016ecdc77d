#include "backend/cuda/cudnn_descriptor.h"

#include <fmt/format.h>

#include "core/error.h"

namespace gsnet::cuda {

void check(cudnnStatus_t status, std::string_view what) {
  GSNET_CHECK(status == CUDNN_STATUS_SUCCESS, fmt::format("[cuda] {}: {}", what, cudnnGetErrorString(status)));
}

}  // namespace gsnet::cuda
