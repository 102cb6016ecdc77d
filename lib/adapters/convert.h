// One adapter as another that does the same, or nearly: for programs that know fewer kinds. All in double.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapters/bank.h"

namespace gsnet {

struct ConvertedLayer {
  LayerAdapter adapter;
  std::vector<std::pair<std::string, Tensor>> tensors;  ///< as AdapterLink::parameters() names them; host, f64
  /// |W' - W'_original|_F / |W'_original - W|_F; 0 where the adapter changes nothing.
  double relative_error = 0;
};

/// A rotation of the inputs as one with a single block, by Cayley: exact. With a trained scale it is a boft of one
/// factor, else an oft. Throws Error naming the layer for what is no such rotation (low rank, two sides, groups, not
/// orthogonal), for one that turns more than `most` places, and for a matrix with an eigenvalue of -1, which Cayley
/// does not reach.
ConvertedLayer as_one_block(AdapterLink& link, Backend& machine, int64_t most = 4096);

/// W' - W of any adapter as a LoRA of at most this rank (of each group), by the largest singular values. `base` is W.
ConvertedLayer as_low_rank(AdapterLink& link, const Tensor& base, Backend& machine, int64_t rank);

/// The generators whose Cayley transforms (I + K)(I - K)^-1 are these orthogonal matrices (B, b, b): strict triangles
/// (B, b (b - 1) / 2). Throws Error for one with an eigenvalue of -1, or none that is orthogonal to 1e-6.
Tensor cayley_generators(const Tensor& q);

/// The orthogonal matrices (B, b, b) of the strict triangles v (B, b (b - 1) / 2) by the adapter's map. Host, f64.
Tensor orthogonal_blocks(const Tensor& v, int64_t block, const AdapterSpec& spec);

/// W' of a link, host, f64. The link is not touched: what it computes is computed on the reference machine. `machine`
/// is the one that its tensors are on.
Tensor adapted_weight(AdapterLink& link, const Tensor& base, Backend& machine);

}  // namespace gsnet
