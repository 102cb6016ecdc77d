// The gradient of a series' kernel by kernels of this machine's own, for groups of any size: teams sum over some of the
// images each, and their parts are added up in order.
#pragma once

#include "backend/cuda/runtime.h"
#include "backend/precision.h"

namespace gsnet::cuda {

/// Single precision: whether a row of such maps, with the rows that its taps reach, fits into the memory of a block.
bool plain_gradient_fits(const Runtime& runtime, const Shape& u, const Shape& k);
/// dk (C, C/g, Kh, Kw) = the sum over images and places of g (x) u, taps apart; u, g (N, C, H, W), channels-last.
void plain_gradient(Runtime& runtime, const Tensor& u, const Tensor& g, Tensor& dk);

/// The same with factors rounded to bf16, on tensor cores: groups of a multiple of 16 channels, few taps.
bool bf16_gradient_fits(const Runtime& runtime, const Shape& u, const Shape& k);
void bf16_gradient(Runtime& runtime, const Tensor& u, const Tensor& g, Tensor& dk);

}  // namespace gsnet::cuda
