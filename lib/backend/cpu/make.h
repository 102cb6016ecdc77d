// The cpu machine, without its vendor headers.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace gsnet {

/// Single precision on the host: oneDNN convolutions and matrix products, series kernels of our own chosen for the
/// instruction set that the processor has. threads 0: one a core.
std::unique_ptr<Backend> make_cpu_backend(int threads);

}  // namespace gsnet
