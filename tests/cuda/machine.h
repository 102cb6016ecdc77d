// The CUDA machine that tests have: in a build with CUDA the device, else its kernels run as host loops.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace gsnet::test {

/// Null where a build with CUDA finds no device; it has said so.
std::unique_ptr<Backend> make_cuda();

}  // namespace gsnet::test
