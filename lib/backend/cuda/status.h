// Every call of the driver and of the libraries is checked.
#pragma once

namespace gsnet::cuda {

/// Throws Error when the last launch was refused.
void check_launch();

/// So much shared memory is wanted by a kernel.
void allow_shared(const void* kernel, int bytes);

}  // namespace gsnet::cuda
