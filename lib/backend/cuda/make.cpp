#include "backend/cuda/make.h"

#include "backend/cuda/cuda_backend.h"

namespace gsnet {

std::unique_ptr<Backend> make_cuda_backend() { return std::make_unique<cuda::CudaBackend>(cuda::make_cuda_runtime()); }

}  // namespace gsnet
