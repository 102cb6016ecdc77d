// A tensor that training changes.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace gsnet {

struct Parameter {
  Tensor value;                  ///< in the memory of the machine that the module lives on
  Tensor grad;                   ///< empty until a backward pass has reached it
  bool trainable = true;         ///< false: no gradient is ever computed for it
  bool decay = true;             ///< whether weight decay applies (not for biases and scale-invariant kernels, say)
  bool scale_invariant = false;  ///< its length changes nothing, only its direction does: steps are relative to it
  uint64_t version = 0;          ///< counts changes of value, so that what was computed from it can be kept

  void changed() { ++version; }
};

}  // namespace gsnet
