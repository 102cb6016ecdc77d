#include "support/singular_values.h"

#include <Eigen/SVD>

namespace gsnet::test {

Eigen::VectorXd singular_values(const Eigen::MatrixXd& matrix) {
  return Eigen::BDCSVD<Eigen::MatrixXd>(matrix).singularValues();
}

}  // namespace gsnet::test
