#include "layers/verified_norm.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace gsnet {
namespace {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr double kUnit = std::numeric_limits<double>::epsilon();  // twice the unit roundoff
constexpr int kRounds = 16;
constexpr double kMargin = 1e-3;  // of the squared norm, above the estimate

template <class T>
Matrix<T> gram(std::span<const T> a, int64_t rows, int64_t columns) {
  const Eigen::Map<const Matrix<T>> matrix(a.data(), rows, columns);
  GSNET_CHECK(matrix.allFinite(), "[bound] the weight has an element that is not finite");
  Matrix<T> g = Matrix<T>::Zero(std::min(rows, columns), std::min(rows, columns));
  if (rows <= columns) {
    g.template selfadjointView<Eigen::Lower>().rankUpdate(matrix);
  } else {
    g.template selfadjointView<Eigen::Lower>().rankUpdate(matrix.adjoint());
  }
  return g;
}

/// Largest eigenvalue of a Hermitian matrix, from below.
template <class T>
double largest_eigenvalue(const Matrix<T>& g) {
  Eigen::Matrix<T, Eigen::Dynamic, 1> v(g.rows());
  for (Eigen::Index i = 0; i < v.size(); ++i) v(i) = T(1.0 + 0.5 * std::sin(1.0 + 2.3 * static_cast<double>(i)));
  v.normalize();
  double value = 0;
  for (int round = 0; round < kRounds; ++round) {
    Eigen::Matrix<T, Eigen::Dynamic, 1> next = g.template selfadjointView<Eigen::Lower>() * v;
    value = next.norm();
    if (!(value > 0)) return 0;
    v = next / value;
  }
  return value;
}

template <class T>
bool is_below(const Matrix<T>& g, double square) {
  Matrix<T> difference = -g;
  difference.diagonal().array() += square;
  const Eigen::LLT<Eigen::Ref<Matrix<T>>> factors(difference);
  return factors.info() == Eigen::Success;
}

UpperBound gram_iteration(std::span<const double> a, int64_t rows, int64_t columns, int squarings) {
  Matrix<double> g = gram(a, rows, columns).selfadjointView<Eigen::Lower>();
  double log_norm = 0;
  for (int step = 0; step <= squarings; ++step) {
    if (step > 0) g = Matrix<double>(g * g);
    const double norm = g.norm();
    if (norm == 0) return UpperBound::proven(0);
    if (!std::isfinite(norm)) return UpperBound::proven(std::numeric_limits<double>::infinity());
    log_norm = 2 * log_norm + std::log(norm);
    g /= norm;
  }
  // The first product is off by at most 2 columns u |A|_F^2 (Higham, 3.5), |A|_F^2 being at most rows |A|^2; the
  // others, of normalised squares, add less than 1e-9 of the root.
  const double slack = 1e-9 + static_cast<double>(rows * columns) * kUnit;
  return UpperBound::proven(outward(std::exp(std::ldexp(log_norm, -squarings - 1)), slack));
}

}  // namespace

// Forming A A* is off by at most 2 (columns + 2) u |A|_F^2, a successful factorisation of M by at most 4 (rows + 2) u
// tr(M) <= 4 (rows + 2) u rows s^2 (Higham, theorem 10.3, and 3.6 for complex numbers; both doubled here).
template <class T>
void VerifiedNorm::take(std::span<const T> a, int64_t rows, int64_t columns) {
  const Matrix<T> g = gram(a, rows, columns);
  if (!g.allFinite()) {
    square_ = std::numeric_limits<double>::infinity();
    return;
  }
  const double trace = std::abs(g.trace()), extent = static_cast<double>(rows + columns + 4);
  if (!is_below(g, square_)) {
    double wanted = std::max(largest_eigenvalue(g) * (1 + kMargin), std::numeric_limits<double>::min());
    while (wanted < std::numeric_limits<double>::max() && !is_below(g, wanted)) wanted *= 1 + 8 * kMargin;
    square_ = std::max(square_, wanted);
  }
  slack_ = std::max(slack_, 4 * extent * kUnit * (trace + static_cast<double>(g.rows()) * square_));
}

void VerifiedNorm::add(std::span<const double> a, int64_t rows, int64_t columns) { take(a, rows, columns); }

void VerifiedNorm::add(std::span<const std::complex<double>> a, int64_t rows, int64_t columns) {
  take(a, rows, columns);
}

UpperBound VerifiedNorm::value() const { return UpperBound::proven(outward(std::sqrt(square_ + slack_), 1e-15)); }

double safe_unit(std::span<const double> a) {
  double largest = 0;
  for (const double value : a) largest = std::max(largest, std::abs(value));
  if (largest == 0 || !std::isfinite(largest) || (largest > 1e-70 && largest < 1e70)) return 1;
  return std::ldexp(1.0, std::clamp(std::ilogb(largest), -1021, 1023));
}

UpperBound gram_iteration_bound(std::span<const double> a, int64_t rows, int64_t columns, int squarings) {
  const double unit = safe_unit(a);
  if (unit == 1) return gram_iteration(a, rows, columns, squarings);
  std::vector<double> scaled(a.begin(), a.end());
  for (double& value : scaled) value /= unit;
  const UpperBound bound = gram_iteration(scaled, rows, columns, squarings);
  return UpperBound::proven(outward(bound.value() * unit));
}

}  // namespace gsnet
