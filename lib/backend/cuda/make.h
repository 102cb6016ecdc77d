// The CUDA machine.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace gsnet {

/// Throws Error in one line where there is no driver or no device.
std::unique_ptr<Backend> make_cuda_backend();

}  // namespace gsnet
