// The CUDA machine that tests have: in a build with CUDA the device, else its kernels run as host loops.
#pragma once

#include <memory>
#include <optional>

#include "backend/backend.h"
#include "backend/cuda/series_form.h"

namespace gsnet::test {

/// Null where a build with CUDA finds no device; it has said so. only: CudaBackend's.
std::unique_ptr<Backend> make_cuda(std::optional<cuda::SeriesForm> only = {});

}  // namespace gsnet::test
