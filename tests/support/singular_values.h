// Singular values of a dense matrix, compiled once: Eigen's decomposition takes the compiler a minute under sanitizers.
#pragma once

#include <Eigen/Core>

namespace gsnet::test {

/// Descending.
Eigen::VectorXd singular_values(const Eigen::MatrixXd& matrix);

}  // namespace gsnet::test
