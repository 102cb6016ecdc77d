// Upper bounds of a convolution as the linear operator that it is: its map, stride, padding and groups taken into
// account.
#pragma once

#include "backend/conv.h"
#include "layers/module.h"

namespace gsnet {

enum class Border : uint8_t { zero, circular };

/// Where a kernel acts: on maps (Ci, height, width), zero-padded by spec.pad or wrapped around.
struct ConvMap {
  ConvSpec spec;
  int64_t height = 0, width = 0;
  Border border = Border::zero;
};

/// |J|_2 of the convolution by a kernel (Co, Ci/g, Kh, Kw) f32 or f64: over the groups the largest, of each of these
/// methods the sharpest that is affordable:
///   "l1*linf"   sqrt of the largest absolute sums over rows and columns;
///   "gram"      sqrt(Kh Kw) times the norm of the kernel as (out) x (in, h, w), by Gram iteration;
///   "dense"     the operator written out as a matrix, for small maps; as sharp as its norm's proof (0.1 %);
///   "fourier"   the operator is a part of one with circular borders on a larger map, which is block-diagonal in the
///               Fourier domain (Sedghi et al., ICLR 2019): the largest norm of a block; exact for circular borders.
///               Where the map is large, a coarser grid of N frequencies is used and the bound divided by
///               cos(pi d / N) an axis, d the kernel's degree as trigonometric polynomial (M. Riesz; Ehlich and Zeller,
///               Math. Z. 86, 1964). A stride is a choice of phases (space-to-depth).
/// Taps that read nothing but zeros on this map count as 0. Norms of matrices are proven (layers/verified_norm.h).
/// Throws Error for elements that are not finite, and for a circular border whose map the stride does not divide.
LayerBound conv_operator_bound(const Tensor& kernel, const ConvMap& map);

/// sqrt(Kh Kw) times the norm of k as (out) x (in, h, w), over the groups the largest: bounds the operator whichever of
/// its products are left out, if the same are for all outputs of a pixel.
UpperBound conv_partial_norm_bound(const Tensor& k, int64_t groups);

/// The cheap ones only, for any map: over the groups, the largest of the sharper of "l1*linf" and "gram".
LayerBound conv_norm_bound(const Tensor& k, int64_t groups);

}  // namespace gsnet
