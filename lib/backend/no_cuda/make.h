// Stands where the CUDA machine would be in a build without it. Same declaration as cuda/make.h.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace gsnet {

/// Throws Error: this build has no CUDA.
std::unique_ptr<Backend> make_cuda_backend();

}  // namespace gsnet
