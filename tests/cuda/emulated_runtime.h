// The CUDA machine with host memory behind it: its kernels run as loops. Device memory is marked as such, so that code
// which reads it from the host is found out.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace gsnet::test {

std::unique_ptr<Backend> make_emulated_cuda();

}  // namespace gsnet::test
