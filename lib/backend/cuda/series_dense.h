// The series on maps of few pixels: J of a group written out as a matrix over its pixels and channels, so that a term
// is one product of all images' rows with it, and the gradient one product over all terms' rows. Rows are (group; slot,
// image; pixel, channel), a slot an iterate.
#pragma once

#include "backend/cuda/runtime.h"
#include "backend/series.h"

namespace gsnet::cuda {

/// Whether the matrices are not too large.
bool dense_series_fits(const Shape& x, const Shape& k);

/// As fused_forward; `kept`, as large as `degree` tensors like x, is laid out in slots: u_K … u_1.
void dense_forward(Runtime& runtime, const Tensor& x, const Tensor& k, const SeriesSpec& spec, const Tensor* bias,
                   Tensor& y, Tensor* kept);

/// As fused_backward, likewise: g_K … g_1.
void dense_backward(Runtime& runtime, const Tensor& dy, const Tensor& k, const SeriesSpec& spec, Tensor* dx,
                    Tensor* kept);

/// dk = sum of g_i (x) u_i over all slots.
void dense_gradient(Runtime& runtime, const Shape& x, const SeriesSpec& spec, const Tensor& iterates,
                    const Tensor& adjoints, Tensor& dk);

}  // namespace gsnet::cuda
