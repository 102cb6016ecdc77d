// Differentiable operations: each checks shapes, allocates its output, runs a kernel, and records the kernel's adjoint.
// Every op throws Error, in its own name, when shapes do not fit. "Saves" says what is kept for the backward pass.
#pragma once

#include <array>
#include <span>

#include "autograd/tape.h"

namespace gsnet::ops {

// Convolution and products ---------------------------------------------------------------------------------------

/// y (N, Co, Ho, Wo) from x (N, Ci, H, W), w (Co, Ci/g, Kh, Kw), bias (Co) or null. Saves x, w.
Var conv2d(const Var& x, const Var& w, const Var* bias, const ConvSpec& spec);
/// The same with more done to each sum (backend/conv.h); at the ends of the range the derivative is taken as 0. Saves
/// x, w, and y where it is held in a range.
Var conv2d(const Var& x, const Var& w, const ConvEpilogue<Var>& after, const ConvSpec& spec);
/// The same with w' w = 1, as many channels out as in, and a bias or null. Saves w, and x where nobody hands y back.
Var conv2d_isometry(const Var& x, const Var& w, const Var* bias, const ConvSpec& spec);
/// y = sum_k c_k J^k x (backend/series.h). k must be skew-symmetric. Saves x, k (or its remake) and what spec.save
/// says.
Var conv_exp(const Var& x, const Var& k, const SeriesSpec& spec);
/// The same between a space-to-depth, two channel maps and a bias (C') or null: y (N, C', H / block, W / block). Saves
/// x (where spec.save says input, its remake if it has one), k (or its remake) and what spec.save says; with output, no
/// x where the maps are permutations and what reads y hands it back.
Var conv_exp_between(const Var& x, const Var& k, const SeriesSpec& spec, int64_t block, const ChannelMap& before,
                     const ChannelMap& after, const Var* bias);
/// y (N, O) = x (N, I) w', w (O, I). Saves x, w.
Var linear(const Var& x, const Var& w);
/// op(a) op(b) for matrices or batches of them. Saves a, b.
Var matmul(const Var& a, bool transpose_a, const Var& b, bool transpose_b);

// Parametrisations (backend/linalg.h, backend/kernel_norm.h) -----------------------------------------------------

/// exp of (B, m, m). Saves a.
Var matrix_exp(const Var& a);
/// (I + a)(I - a)^-1 of (B, m, m). Saves a and the result.
Var cayley(const Var& a);
/// Rows of unit length, w (R, C). Saves w.
Var normalise_rows(const Var& w);
/// Skew-symmetric part of kernels (C, C/g, Kh, Kw). Saves nothing, or w for the result's remake.
Var skew(const Var& w, int64_t groups, bool remade = false);
/// (g) upper bounds of the groups' operator norms. Saves k or its remake.
Var gram_norm(const Var& k, int64_t groups);
/// (g) estimates by the reference code's bilinear forms, after `iterations` rounds on `forms`. Saves k or its remake,
/// and the forms.
Var four_forms(const Var& k, int64_t groups, int iterations, FourForms& forms);
/// (g) how far J of each group stretches v (C, H, W), whose groups are of unit length, and where to: u, the next v of a
/// power iteration, written where it is. Saves v, u as they are now.
Var stretch(const Var& k, int64_t groups, const Tensor& v, Tensor& u);
/// k[g] * numerator / (s[g] + epsilon). Saves k or its remake, and s; the result has a remake where k has one.
Var scale_groups(const Var& k, const Var& s, double numerator, double epsilon);

/// Blocks of one dimension multiplied by q (backend/rotation.h); x row-major. Saves x, q.
Var rotate(const Var& x, const Var& q, const RotationSpec& spec);
/// Skew-symmetric (B, b, b) from strict upper triangles (B, b (b - 1) / 2). Saves nothing.
Var skew_from_triangle(const Var& v, int64_t block);
/// s[r] x[r, …], x row-major. Saves x, s.
Var scale_rows(const Var& x, const Var& s);

// Elementwise ----------------------------------------------------------------------------------------------------

Var unary(UnaryOp op, const Var& x);
inline Var relu(const Var& x) { return unary(UnaryOp::relu, x); }
/// Of one shape and layout.
Var binary(BinaryOp op, const Var& a, const Var& b);
inline Var add(const Var& a, const Var& b) { return binary(BinaryOp::add, a, b); }
Var scale(const Var& x, double alpha);
/// x (N, C) or (N, C, H, W) plus b (C). Saves nothing.
Var add_bias(const Var& x, const Var& b);
/// a[c] x of x (N, C) or (N, C, H, W), a (C). Saves x and a.
Var scale_channels(const Var& x, const Var& a);
/// a[c] x + b[c] of x (N, C) or (N, C, H, W), a and b (C). Saves x and a.
Var scale_shift(const Var& x, const Var& a, const Var& b);
/// a[n, c] x of x (N, C, H, W), a (N, C, 1, 1). Saves x and a.
Var scale_maps(const Var& x, const Var& a);

// Activations (backend/eltwise.h). Save x. -----------------------------------------------------------------------

/// x held between low and high, of any shape; either may be infinite. At the ends the derivative is taken as 0.
Var clip(const Var& x, double low, double high);
/// x where x > 0, else slope[c] x, of x (N, C) or (N, C, H, W), slope (C). Saves the slope too.
Var prelu(const Var& x, const Var& slope);
/// Over the channels of x (N, C) or (N, C, H, W). Saves the result alone.
Var softmax(const Var& x);

/// The result has a remake. Saves one bit a pair where its reader hands the result back.
Var maxmin(const Var& x, const MaxMinSpec& spec);
Var group_sort(const Var& x, int64_t size);
Var householder(const Var& x, const Var& theta, Pairing pairing);

// Channels, pixels, shapes. Save nothing. ------------------------------------------------------------------------

Var map_channels(const Var& x, const ChannelMap& map);
Var space_to_depth(const Var& x, int64_t block);
Var depth_to_space(const Var& x, int64_t block);
/// (N, C, H, W) to (N, C H W), elements in logical order as in other libraries.
Var flatten(const Var& x);
/// (N, C) to (N, C, 1, 1).
Var as_map(const Var& x);
/// Channels one after another, of any number of x (N, C_i, H, W) or (N, C_i), equal but for the channels.
Var concat(std::span<const Var> x);
/// `value` around x (N, C, H, W): sides top, left, bottom, right, none negative.
Var pad(const Var& x, const std::array<int64_t, 4>& sides, double value);
/// Axes of a sample in another order: axis 1 + i of the result is axis 1 + axes[i] of x, of rank 2 to 4.
Var permute(const Var& x, std::span<const int64_t> axes);
/// Samples' elements under another shape of rank 1 to 3, in logical order as in other libraries.
Var reshape_samples(const Var& x, const Shape& sample);
/// The same elements under another shape; row-major tensors only.
Var reshape(const Var& x, const Shape& shape);
/// Rows `index` (M) i32, on the machine, of x (R, C).
Var gather_rows(const Var& x, const Tensor& index);

// Pooling, reductions, losses ------------------------------------------------------------------------------------

/// Saves x, and y for l2 and max.
Var pool(const Var& x, const PoolSpec& spec);
/// (C): sums over all axes but the channels' of x (N, C) or (N, C, H, W). Saves nothing.
Var sum_to_channels(const Var& x);
/// (1): sum or mean of all elements.
Var sum(const Var& x);
Var mean(const Var& x);
/// (N) losses of logits (N, K). Saves the softmax.
Var cross_entropy(const Var& z, const Tensor& labels, const CrossEntropySpec& spec);
/// (N) losses of cosines z (N, K) with a margin on the true class: raise, lower (N), constants, on the machine. Saves
/// the softmax.
Var margin_softmax(const Var& z, const Tensor& labels, const Tensor& raise, const Tensor& lower,
                   const MarginSoftmaxSpec& spec);
/// (N) margins z_y - max of the others. Saves who the rival was.
Var margin(const Var& z, const Tensor& labels);

}  // namespace gsnet::ops
