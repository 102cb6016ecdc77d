// The oracle: plain loops in double.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace gsnet {

std::unique_ptr<Backend> make_reference_backend(int threads);

}  // namespace gsnet
