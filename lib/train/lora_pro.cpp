#include "train/lora_pro.h"

#include <fmt/format.h>

#include <Eigen/Dense>

#include "adapters/low_rank.h"
#include "core/error.h"
#include "layers/weight.h"

namespace gsnet {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Map = Eigen::Map<Matrix>;
using Symmetric = Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>;

/// Of the largest eigenvalue of a Gram matrix: factors in single precision hold singular values to some 1e-7 of the
/// largest, whose square is 1e-14.
constexpr double kCut = 1e-10;

Map map_of(const Tensor& x) { return {x.data<double>(), x.shape()[0], x.shape()[1]}; }

Tensor tensor_of(const Matrix& x) {
  Tensor made = Tensor::empty({x.rows(), x.cols()}, DType::f64);
  map_of(made) = x;
  return made;
}

Matrix pseudo_inverse(const Symmetric& gram) {
  const Eigen::VectorXd& values = gram.eigenvalues();  // ascending
  const double least = kCut * values(values.size() - 1);
  const Eigen::VectorXd inverse = values.unaryExpr([&](double v) { return v > least ? 1 / v : 0.0; });
  return gram.eigenvectors() * inverse.asDiagonal() * gram.eigenvectors().transpose();
}

Matrix sylvester(const Symmetric& p, const Symmetric& q, const Matrix& c) {
  Matrix x = p.eigenvectors().transpose() * c * q.eigenvectors();
  const double largest = std::max(p.eigenvalues().maxCoeff(), q.eigenvalues().maxCoeff());
  for (Eigen::Index i = 0; i < x.rows(); ++i) {
    for (Eigen::Index j = 0; j < x.cols(); ++j) {
      const double sum = p.eigenvalues()(i) + q.eigenvalues()(j);
      x(i, j) = sum > 1e-15 * largest ? x(i, j) / sum : 0;
    }
  }
  return p.eigenvectors() * x * q.eigenvectors().transpose();
}

}  // namespace

std::vector<LowRankPair> low_rank_pairs(const Graph& graph) {
  std::vector<LowRankPair> pairs;
  for (const Graph::Node& node : graph.nodes()) {
    const auto site = node.module->weight_site();
    if (!site) continue;
    for (const auto& link : site->weight->chain()) {
      auto* low_rank = dynamic_cast<LowRankLink*>(link.get());
      if (low_rank == nullptr || !low_rank->enabled()) continue;
      if (!low_rank->a().trainable || !low_rank->b().trainable) continue;
      pairs.push_back({&low_rank->a(), &low_rank->b(), site->groups, low_rank->spec().low_rank_scale()});
    }
  }
  return pairs;
}

PairGradients lora_pro_gradients(const Tensor& a, const Tensor& b, const PairGradients& plain, double scale) {
  const Map A = map_of(a), B = map_of(b), dA = map_of(plain.a), dB = map_of(plain.b);
  const double over = 1 / (scale * scale);
  const Symmetric btb(Eigen::MatrixXd(B.transpose() * B)), aat(Eigen::MatrixXd(A * A.transpose()));
  const Matrix btb_inverse = pseudo_inverse(btb), aat_inverse = pseudo_inverse(aat);
  const Matrix inside = over * btb_inverse * dA;
  const Matrix x = sylvester(btb, aat, -inside * A.transpose());
  const Matrix projected = dB - B * (btb_inverse * (B.transpose() * dB));
  return {tensor_of(inside + x * A), tensor_of(over * projected * aat_inverse - B * x)};
}

Tensor equivalent_gradient(const Tensor& a, const Tensor& b, const PairGradients& steps, double scale) {
  return tensor_of(scale * (map_of(b) * map_of(steps.a) + map_of(steps.b) * map_of(a)));
}

Tensor solve_sylvester(const Tensor& p, const Tensor& q, const Tensor& c) {
  const Symmetric left(Eigen::MatrixXd(map_of(p))), right(Eigen::MatrixXd(map_of(q)));
  return tensor_of(sylvester(left, right, map_of(c)));
}

}  // namespace gsnet
