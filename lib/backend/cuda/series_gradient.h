// The gradient of a series' kernel in single precision, for groups of any size: teams sum over some of the images each,
// a thread 4 x 8 channels of a few taps, and their parts are added up in order.
#pragma once

#include "backend/cuda/runtime.h"

namespace gsnet::cuda {

/// Whether a row of such maps, with the rows that its taps reach, fits into the memory of a block.
bool gradient_fits(const Runtime& runtime, const Shape& u, const Shape& k);

/// dk (C, C/g, Kh, Kw) = the sum over images and places of g (x) u, taps apart; u, g (N, C, H, W), channels-last.
void series_gradient(Runtime& runtime, const Tensor& u, const Tensor& g, Tensor& dk);

}  // namespace gsnet::cuda
