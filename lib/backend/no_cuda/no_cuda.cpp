#include "backend/no_cuda/make.h"

#include "core/error.h"

namespace gsnet {

std::unique_ptr<Backend> make_cuda_backend() {
  throw Error("backend 'cuda': this gsnet was built without CUDA (configure with the preset 'cuda')");
}

}  // namespace gsnet
