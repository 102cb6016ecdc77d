// Every call of the driver and of the libraries is checked.
#pragma once

namespace gsnet::cuda {

/// Throws Error when the last launch was refused.
void check_launch();

}  // namespace gsnet::cuda
