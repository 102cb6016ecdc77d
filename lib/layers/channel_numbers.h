// Tensors of one number a channel, as layers keep, bound and export them.
#pragma once

#include "backend/backend.h"
#include "core/bound.h"

namespace gsnet {

/// C of a sample (C, H, W) or (C). Throws Error for any other.
int64_t channels_of(const Shape& x);
/// (C), all of one value. Throws Error for one that is not finite.
Tensor filled(Backend& backend, int64_t channels, double value);
/// The largest absolute value, exactly. Throws Error for numbers that are not finite.
UpperBound largest_number(Backend& backend, const Tensor& numbers);
/// On the host in f32, as an Emitter takes it.
Tensor emitted(Backend& backend, const Tensor& numbers);

}  // namespace gsnet
