// Singular values of a dense matrix of Eigen's (core/svd.h).
#pragma once

#include <Eigen/Core>

namespace gsnet::test {

/// Descending.
Eigen::VectorXd singular_values(const Eigen::MatrixXd& matrix);

}  // namespace gsnet::test
