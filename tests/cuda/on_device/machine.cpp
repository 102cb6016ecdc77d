#include "cuda/machine.h"

#include <catch2/catch.hpp>

#include "core/error.h"

namespace gsnet::test {

std::unique_ptr<Backend> make_cuda() {
  try {
    return make_backend({"cuda", 0});
  } catch (const Error& error) {
    WARN("skipped: " << error.what());
    return nullptr;
  }
}

}  // namespace gsnet::test
