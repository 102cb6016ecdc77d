#include "support/singular_values.h"

#include "core/svd.h"

namespace gsnet::test {

Eigen::VectorXd singular_values(const Eigen::MatrixXd& matrix) {
  const Tensor transposed =
      Tensor::of<double>({matrix.cols(), matrix.rows()}, std::span(matrix.data(), static_cast<size_t>(matrix.size())));
  const Tensor values = gsnet::singular_values(transposed);
  return Eigen::Map<const Eigen::VectorXd>(values.data<double>(), values.numel());
}

}  // namespace gsnet::test
