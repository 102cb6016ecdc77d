#include "core/svd.h"

#include <Eigen/SVD>
#include <algorithm>

#include "core/error.h"

namespace gsnet {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Map = Eigen::Map<Matrix>;
using Decomposition = Eigen::BDCSVD<Eigen::MatrixXd>;

Decomposition decomposed(const Tensor& a, unsigned options) {
  GSNET_CHECK(a.shape().rank() == 2 && a.dtype() == DType::f64, "[svd] expects an f64 matrix");
  return {Eigen::Map<const Matrix>(a.data<double>(), a.shape()[0], a.shape()[1]), options};
}

Tensor tensor_of(const Eigen::VectorXd& values) {
  Tensor made = Tensor::empty({values.size()}, DType::f64);
  std::ranges::copy(values, made.data<double>());
  return made;
}

}  // namespace

Svd thin_svd(const Tensor& a) {
  const Decomposition svd = decomposed(a, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const int64_t k = svd.singularValues().size();
  Svd made{Tensor::empty({a.shape()[0], k}, DType::f64), tensor_of(svd.singularValues()),
           Tensor::empty({k, a.shape()[1]}, DType::f64)};
  Map(made.u.data<double>(), a.shape()[0], k) = svd.matrixU();
  Map(made.vt.data<double>(), k, a.shape()[1]) = svd.matrixV().transpose();
  return made;
}

Tensor singular_values(const Tensor& a) { return tensor_of(decomposed(a, 0).singularValues()); }

}  // namespace gsnet
