#include "layers/bounds.h"

#include <fmt/format.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "layers/verified_norm.h"

namespace gsnet {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// A computed product of double matrices with inner extent n is off by at most n u |A|_F |B|_F in Frobenius norm
// (Higham, "Accuracy and Stability", 3.5), |A|_F^2 being at most the rank times |A|^2: rows times columns times u
// covers the first product, the others, of normalised squares, add less than 1e-9.
constexpr double kSlack = 1e-9;

Matrix to_matrix(const Tensor& w, int64_t first_row, int64_t rows, int64_t columns) {
  const Tensor numbers = with_dtype(w, DType::f64);
  const double* from = numbers.data<double>() + first_row * columns;
  Matrix matrix(rows, columns);
  std::copy_n(from, rows * columns, matrix.data());
  GSNET_CHECK(matrix.allFinite(), "[bound] the weight has an element that is not finite");
  return matrix;
}

void keep_sharper(LayerBound& bound, double value, double slack, const char* method) {
  const UpperBound proven = UpperBound::proven(outward(value, slack));
  if (proven.value() < bound.value.value()) bound = {proven, method};
}

LayerBound sharpest_of(const Matrix& w) {
  const double slack = kSlack + static_cast<double>(w.size()) * 0x1p-53;
  LayerBound bound{UpperBound::proven(outward(w.norm(), slack)), "frobenius"};
  const double l1 = w.cwiseAbs().colwise().sum().maxCoeff(), linf = w.cwiseAbs().rowwise().sum().maxCoeff();
  keep_sharper(bound, std::sqrt(l1) * std::sqrt(linf), slack, "l1*linf");
  Matrix gram = w.rows() <= w.cols() ? Matrix(w * w.transpose()) : Matrix(w.transpose() * w);
  gram.diagonal().array() -= 1;
  const double defect = gram.norm();
  if (defect < 0.1) {
    keep_sharper(bound, std::sqrt(1 + defect), slack, "isometry defect");
  } else {
    const std::span<const double> numbers(w.data(), static_cast<size_t>(w.size()));
    keep_sharper(bound, gram_iteration_bound(numbers, w.rows(), w.cols()).value(), 0, "gram");
  }
  return bound;
}

LayerBound sharpest(const Matrix& w) {
  const double unit = safe_unit({w.data(), static_cast<size_t>(w.size())});
  if (unit == 1) return sharpest_of(w);
  LayerBound bound = sharpest_of(w / unit);
  return {UpperBound::proven(outward(bound.value.value() * unit)), std::move(bound.method)};
}

}  // namespace

LayerBound matrix_norm_bound(const Tensor& w) {
  const int64_t rows = w.shape()[0];
  return sharpest(to_matrix(w, 0, rows, w.numel() / rows));
}

LayerBound block_norm_bound(const Tensor& blocks) {
  const Shape& s = blocks.shape();
  LayerBound largest{UpperBound::proven(0), "zero"};
  for (int64_t g = 0; g < s[0]; ++g) {
    LayerBound bound = sharpest(to_matrix(blocks, g * s[1], s[1], s[2]));
    if (bound.value.value() > largest.value.value()) largest = std::move(bound);
  }
  return largest;
}

UpperBound row_distance(const Tensor& w, int64_t i, int64_t j) {
  const int64_t columns = w.shape()[1];
  const Tensor numbers = with_dtype(w, DType::f64);
  const double* a = numbers.data<double>() + i * columns;
  const double* b = numbers.data<double>() + j * columns;
  std::vector<double> difference(static_cast<size_t>(columns));
  for (int64_t c = 0; c < columns; ++c) difference[static_cast<size_t>(c)] = a[c] - b[c];
  const double unit = safe_unit(difference);
  double squares = 0;
  for (const double value : difference) squares += (value / unit) * (value / unit);
  const double distance = outward(std::sqrt(squares), 1e-12 + static_cast<double>(columns) * 0x1p-52);
  return UpperBound::proven(unit == 1 ? distance : outward(distance * unit));
}

}  // namespace gsnet
