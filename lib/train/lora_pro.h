// LoRA-Pro (Wang et al., ICLR 2025, arXiv 2407.18242): the pairs of a LoRA stepped so that their product moves as near
// as it can to where full fine-tuning would.
#pragma once

#include <cstdint>
#include <vector>

#include "layers/graph.h"

namespace gsnet {

/// The factors of W' = W + scale B A, group by group.
struct LowRankPair {
  Parameter* a = nullptr;  ///< (groups r, n): lora_A, its last axes as one
  Parameter* b = nullptr;  ///< (groups m, r): lora_B
  int64_t groups = 1;
  double scale = 1;
};

/// Those of all LoRA and DoRA adapters on a graph's weights that are on and trained.
std::vector<LowRankPair> low_rank_pairs(const Graph& graph);

/// Gradients of one pair, or what is stepped in their place. Host tensors in double, (r, n) and (m, r).
struct PairGradients {
  Tensor a, b;
};

/// With g the gradient of W (so that a's is s B'g and b's s g A'), steps g_A, g_B that move W by
/// g~ = s B g_A + s g_B A, the nearest to g of all that a pair can (|g~ - g|_F least), and of those the nearest to
/// plain LoRA's:
///   g_A = (1 / s^2) (B'B)^+ a' + X A,  g_B = (1 / s^2) (I - B (B'B)^+ B') b' (A A')^+ - B X,
///   (B'B) X + X (A A') = -(1 / s^2) (B'B)^+ a' A'.
/// Inverses are pseudo-inverses, cut off at 1e-10 of the largest eigenvalue: at the first step, where B is 0, A stays
/// and g_B is the least-squares one, as in the paper's code, without its ridge of 1e-8 that would bias small factors.
PairGradients lora_pro_gradients(const Tensor& a, const Tensor& b, const PairGradients& plain, double scale);

/// g~ of a pair's steps: s B g_A + s g_B A, (m, n).
Tensor equivalent_gradient(const Tensor& a, const Tensor& b, const PairGradients& steps, double scale);

/// X with P X + X Q = C for symmetric P and Q (r, r) whose eigenvalues are at least 0, by their eigenvectors; where a
/// sum of two eigenvalues is 0 to rounding, X has none of that direction.
Tensor solve_sylvester(const Tensor& p, const Tensor& q, const Tensor& c);

}  // namespace gsnet
