// The central operator: y = sum_k c_k J^k x, J the convolution by a kernel with zero "same" padding.
//
// With a skew-symmetric kernel (K[o, i, u, v] = -K[i, o, -u, -v]) J' = -J exactly, padding included, so that the sum is
// exp(J), an orthogonal map, up to truncation: Singla and Feizi, "Skew Orthogonal Convolutions" (ICML 2021); grouped:
// arXiv 2406.10019. Evaluated by Horner: u <- x + (c_k / c_{k-1}) J u, one convolution a term with scale and add
// inside.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "backend/channels.h"
#include "backend/conv.h"
#include "backend/precision.h"
#include "core/tensor.h"

namespace gsnet {

/// The memory dial: what the forward pass leaves for the backward pass besides x.
enum class SeriesSave : uint8_t {
  iterates,  ///< the Horner iterates: degree - 1 tensors as large as x, no recomputation
  input,     ///< nothing: the backward pass computes them again, and x too where its op can make it again
  output,    ///< as input, and not even x where y will be at hand in the backward pass: by the series' inverse
};

/// How the products of a convolution are summed.
enum class SeriesProducts : uint8_t {
  direct,  ///< as written; what RoundingBound covers
  fast,  ///< where it pays, by bilinear forms with fewer multiplications (Winograd): rounding errors about as large in
         ///< the mean, but not within the bounds of the direct sum
  tf32,  ///< fast, and the factors of products are rounded, sums are not; asked for by name only
  bf16,
};

constexpr SeriesProducts fast_products(Precision precision) {
  return precision == Precision::f32    ? SeriesProducts::fast
         : precision == Precision::tf32 ? SeriesProducts::tf32
                                        : SeriesProducts::bf16;
}

/// A kernel as a machine wants it, kept from call to call by whoever promises that it stays what it is. Its content
/// belongs to the machine.
struct SeriesCache {
  Tensor packed;
  const void* form = nullptr;
};

struct SeriesSpec {
  std::vector<double> coefficients;  ///< c_0 … c_K, all but the last non-zero; degree K >= 1
  int64_t groups = 1;
  SeriesSave save = SeriesSave::iterates;
  SeriesProducts products = SeriesProducts::direct;
  std::shared_ptr<SeriesCache> cache = {};  ///< null: k may be another the next time
  std::vector<double> inverse = {};         ///< with save = output: coefficients of the inverse; machines ignore it

  int degree() const { return static_cast<int>(coefficients.size()) - 1; }
};

/// What a forward pass left behind; its content belongs to the machine that made it.
struct SeriesSaved {
  std::vector<Tensor> tensors;
  bool with_input = false;  ///< the series' input is among them: the backward pass asks its x for the shape only
};

/// What a layer does around its series, so that a machine may do it while it has the maps at hand:
/// y = after(series(before(space_to_depth(x, block)))) + bias.
struct SeriesEnds {
  int64_t block;
  const ChannelMap* before;  ///< from the block's channels to the series'
  const ChannelMap* after;   ///< from these to y's
  const Tensor* bias;        ///< (y's channels), or null
};

/// x, y (N, C, H, W) channels-last; k (C, C/g, Kh, Kw) row-major, Kh and Kw odd.
class SeriesKernels {
 public:
  virtual ~SeriesKernels() = default;
  /// y = sum_k c_k J^k x. `saved` is null when no backward pass follows.
  virtual void conv_exp(const Tensor& x, const Tensor& k, const SeriesSpec& spec, Tensor& y, SeriesSaved* saved) = 0;
  /// The adjoint in x and the gradient in k, every entry of k free. The caller promises that k is skew-symmetric, and
  /// machines use J' = -J; `reference` ignores the promise, so that parity tests hold the callers to it.
  /// dx, dk may be null. dk is made here, and k, if it is the caller's last, let go, as the machine finds best: kernels
  /// of many channels are the largest tensors there are.
  virtual void conv_exp_backward(const Tensor& x, Tensor k, const SeriesSpec& spec, const SeriesSaved& saved,
                                 const Tensor& dy, Tensor* dx, Tensor* dk) = 0;
};

/// J: the convolution by k whose output is as large as its input.
ConvSpec series_convolution(const Shape& k, int64_t groups);

/// Throws Error unless x, k and spec fit together; names the axis.
void check_conv_exp(const Shape& x, const Shape& k, const SeriesSpec& spec);

}  // namespace gsnet
