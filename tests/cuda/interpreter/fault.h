#pragma once

#include <stdexcept>

namespace gsnet::ptx {

/// What a device would have done wrong.
struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace gsnet::ptx
