// The whole series of one group of an image, or of a few, in the memory that the threads of a block share: iterates go
// to device memory only where a weight gradient needs them. A term reads x there, or reads and writes dx.
#pragma once

#include "backend/cuda/runtime.h"
#include "backend/precision.h"
#include "backend/series.h"

namespace gsnet::cuda {

/// What a machine rounds the factors of a series' products to.
Precision precision_of(SeriesProducts products);

/// What the fused form multiplies in: bf16 and tf32 where tensor cores can do the groups; else single precision.
Precision fused_precision(const Shape& k, const SeriesSpec& spec);

/// Whether the maps of x under kernels k fit. tf32 and bf16 need groups of a multiple of 16 channels; others are fused
/// in f32.
bool fused_series_fits(const Runtime& runtime, const Shape& x, const Shape& k, const SeriesSpec& spec);

/// u <- x + (c_i / c_{i-1}) J u, from u_K = x on, y = c_0 u_0 + bias; u_K … u_1, one after another, in `kept`, or none.
/// bias may be null, x be the first of `kept`.
void fused_forward(Runtime& runtime, const Tensor& x, const Tensor& k, const SeriesSpec& spec, const Tensor* bias,
                   Tensor& y, Tensor* kept);

/// g_1 = c_1 dy, g_{i+1} = -(c_{i+1} / c_i) J g_i, dx = c_0 dy - sum_i J g_i; g_K … g_1 in `kept`, or none. dx may be
/// null.
void fused_backward(Runtime& runtime, const Tensor& dy, const Tensor& k, const SeriesSpec& spec, Tensor* dx,
                    Tensor* kept);

}  // namespace gsnet::cuda
