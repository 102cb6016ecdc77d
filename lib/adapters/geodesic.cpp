// Powers of orthogonal matrices along their geodesics.
#include <Eigen/Dense>
#include <cmath>
#include <complex>

#include "adapters/rotation_link.h"

namespace gsnet {
namespace {

using Complex = std::complex<double>;

/// What the map makes of an eigenvalue i a of K.
Complex mapped(const AdapterSpec& spec, double a) {
  const Complex z(0, a);
  if (spec.map == OrthogonalMap::exp) return std::exp(z);
  if (spec.map == OrthogonalMap::cayley) return (1.0 + z) / (1.0 - z);
  Complex sum = 1, power = z;
  for (int64_t degree = 1; degree < spec.terms; ++degree, power *= z) {
    sum += (degree + 1 == spec.terms && spec.terms > 2 ? 1.0 : 2.0) * power;
  }
  return sum;
}

/// Its power t. The exponential's angle is a itself, however many times it goes round.
Complex powered(const AdapterSpec& spec, double a, double t) {
  if (spec.map == OrthogonalMap::exp) return std::exp(Complex(0, t * a));
  if (spec.map == OrthogonalMap::cayley) return std::exp(Complex(0, 2 * t * std::atan(a)));
  const Complex value = mapped(spec, a);
  return std::exp(t * std::log(value));
}

}  // namespace

// -i K is Hermitian: K = U diag(i a) U*.
Tensor geodesic(const Tensor& v, int64_t block, const AdapterSpec& spec, double t) {
  const Tensor generators = with_dtype(v, DType::f64);
  const int64_t blocks = generators.shape()[0];
  const double* from = generators.data<double>();
  Tensor q = Tensor::empty({blocks, block, block}, DType::f64);
  for (int64_t i = 0; i < blocks; ++i) {
    Eigen::MatrixXcd hermitian = Eigen::MatrixXcd::Zero(block, block);
    for (int64_t r = 0; r < block; ++r) {
      for (int64_t c = r + 1; c < block; ++c, ++from) {
        hermitian(r, c) = Complex(0, -*from);
        hermitian(c, r) = Complex(0, *from);
      }
    }
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXcd> solver(hermitian);
    Eigen::VectorXcd values(block);
    for (int64_t r = 0; r < block; ++r) values(r) = powered(spec, solver.eigenvalues()(r), t);
    const Eigen::MatrixXd power =
        (solver.eigenvectors() * values.asDiagonal() * solver.eigenvectors().adjoint()).real();
    for (int64_t r = 0; r < block; ++r) {
      for (int64_t c = 0; c < block; ++c) q.data<double>()[(i * block + r) * block + c] = power(r, c);
    }
  }
  return q;
}

}  // namespace gsnet
