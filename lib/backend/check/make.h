// A machine that runs every kernel on two machines and compares.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace gsnet {

/// Results are `first`'s. Every output is compared with `second`'s, run on the same inputs: an Error names the kernel
/// and the largest difference when it exceeds 1e-4 of the output's largest element (f32 sums of some thousand terms).
std::unique_ptr<Backend> make_check_backend(std::unique_ptr<Backend> first, std::unique_ptr<Backend> second);

}  // namespace gsnet
