#include "cuda/machine.h"

#include <catch2/catch.hpp>

#include "backend/cuda/cuda_backend.h"
#include "core/error.h"

namespace gsnet::test {

std::unique_ptr<Backend> make_cuda(std::optional<cuda::SeriesForm> only) {
  try {
    return std::make_unique<cuda::CudaBackend>(cuda::make_cuda_runtime(), only);
  } catch (const Error& error) {
    WARN("skipped: " << error.what());
    return nullptr;
  }
}

}  // namespace gsnet::test
