// What modules need to speak to an emitter.
#pragma once

#include "backend/backend.h"
#include "layers/emitter.h"

namespace gsnet {

/// A tensor of a machine as emitters take it: on the host, f32, row-major.
inline Tensor emitted(Backend& backend, const Tensor& x) {
  return with_layout(with_dtype(backend.download(x), DType::f32), Layout::row_major);
}

}  // namespace gsnet
