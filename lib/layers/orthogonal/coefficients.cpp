#include "layers/orthogonal/coefficients.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>

#include "core/error.h"

namespace gsnet {
namespace {

constexpr int kPieces = 64;
constexpr int kMostDegree = 24;
constexpr double kLeastRadius = 1e-3;

/// Polynomials in J by the basis U_k(J / R), which is i^k T_k on [-iR, iR]: U_0 = 1, U_1(z) = z,
/// U_{k+1}(z) = 2 z U_k + U_{k-1}. No U_k is larger than 1 there.
std::vector<double> from_chebyshev(const std::vector<double>& a, double radius) {
  const size_t count = a.size();
  std::vector<double> before(count), now(count), sum(count);
  before[0] = 1;
  now[1] = 1 / radius;
  sum[0] = a[0];
  for (size_t k = 1; k < count; ++k) {
    for (size_t i = 0; i < count; ++i) sum[i] += a[k] * now[i];
    std::vector<double> next(count);
    for (size_t i = 0; i < count; ++i) next[i] = before[i] + (i > 0 ? 2 / radius * now[i - 1] : 0);
    before = std::move(now);
    now = std::move(next);
  }
  return sum;
}

std::vector<double> to_chebyshev(const std::vector<double>& c, double radius) {
  std::vector<double> a = {c.back()};
  for (size_t k = c.size() - 1; k-- > 0;) {  // a <- c_k + R z a, z U_j = (U_{j+1} - U_{j-1}) / 2
    std::vector<double> next(a.size() + 1);
    next[1] = radius * a[0];
    for (size_t j = 1; j < a.size(); ++j) {
      next[j + 1] += radius * a[j] / 2;
      next[j - 1] -= radius * a[j] / 2;
    }
    next[0] += c[k];
    a = std::move(next);
  }
  return a;
}

/// exp = J_0(R) + sum_k 2 J_k(R) U_k.
std::vector<double> jacobi_anger(int degree, double radius) {
  std::vector<double> a = {std::cyl_bessel_j(0, radius)};
  for (int k = 1; k <= degree; ++k) a.push_back(2 * std::cyl_bessel_j(k, radius));
  return from_chebyshev(a, radius);
}

/// Coefficients of |p(i t)|^2 in s = t^2, in extended precision.
std::vector<long double> squared_modulus(const std::vector<double>& c) {
  std::vector<long double> q(c.size());
  for (size_t a = 0; a < c.size(); ++a) {
    for (size_t b = 0; b < c.size(); ++b) {
      if ((a + b) % 2 != 0) continue;  // c_a c_b i^a (-i)^b t^(a+b): the odd ones cancel in pairs
      const long double sign = (a > b ? a - b : b - a) / 2 % 2 == 0 ? 1 : -1;
      if ((a + b) / 2 >= q.size()) q.resize((a + b) / 2 + 1);
      q[(a + b) / 2] += sign * static_cast<long double>(c[a]) * static_cast<long double>(c[b]);
    }
  }
  return q;
}

/// Largest Bernstein coefficient of q on [low, high]: an upper bound of q there.
long double bernstein_maximum(const std::vector<long double>& q, long double low, long double high) {
  const size_t n = q.size() - 1;
  std::vector<long double> local(q);  // in u, s = low + (high - low) u: Horner shift, then scaling
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = n; j > i; --j) local[j - 1] += low * local[j];
  }
  long double power = 1;
  for (long double& value : local) {
    value *= power;
    power *= high - low;
  }
  long double maximum = local[0];
  for (size_t i = 1; i <= n; ++i) {  // b_i = sum_j C(i, j) / C(n, j) local_j
    long double b = 0, ratio = 1;
    for (size_t j = 0; j <= i; ++j) {
      b += ratio * local[j];
      ratio *= static_cast<long double>(i - j) / static_cast<long double>(n - j > 0 ? n - j : 1);
    }
    maximum = std::max(maximum, b);
  }
  return maximum;
}

}  // namespace

std::vector<double> series_coefficients(const SeriesForm& form, double radius) {
  GSNET_CHECK(form.degree >= 1 && form.degree <= kMostDegree,
              fmt::format("[series] the degree must be 1 … 24, got {}", form.degree));
  if (form.family == SeriesFamily::taylor) {
    std::vector<double> c = {1};
    for (int k = 1; k <= form.degree; ++k) c.push_back(c.back() / k);
    return c;
  }
  GSNET_CHECK(radius > 0 && radius <= 16, fmt::format("[series] the radius must be in (0, 16], got {}", radius));
  std::vector<double> c = jacobi_anger(form.degree, radius);
  const double largest = series_bound(c, UpperBound::proven(radius)).value();
  for (double& value : c) value /= largest;
  return c;
}

int chebyshev_degree(double radius, double error) {
  double dropped = 0;  // 2 J_k(R) of all higher terms; those above are below anything
  int degree = kMostDegree;
  for (int k = 2 * kMostDegree; k > 1; --k) {
    dropped += 2 * std::abs(std::cyl_bessel_j(k, radius));
    if (dropped > error) break;
    degree = std::min(degree, k - 1);
  }
  return degree;
}

std::vector<double> economised(const std::vector<double>& coefficients, UpperBound radius, double error) {
  const double r = std::max(radius.value(), kLeastRadius);
  std::vector<double> a = to_chebyshev(coefficients, r);
  double dropped = std::abs(a.back());
  size_t kept = a.size();
  for (; kept > 2 && dropped <= error; dropped += std::abs(a[kept - 1])) --kept;
  if (kept == a.size()) return coefficients;
  a.resize(kept);
  return from_chebyshev(a, r);
}

// 1 / p(i R cos a) = sum_k b_k i^k cos(k a) with real b_k, p having real coefficients.
std::vector<double> inverse_coefficients(const std::vector<double>& coefficients, double radius, double error) {
  constexpr int kNodes = 4 * kMostDegree;
  std::vector<double> b(kNodes);
  for (int node = 0; node < kNodes; ++node) {
    const double angle = std::numbers::pi * (node + 0.5) / kNodes;
    const std::complex<double> z(0, radius * std::cos(angle));
    std::complex<double> p = 0;
    for (size_t i = coefficients.size(); i-- > 0;) p = p * z + coefficients[i];
    const std::complex<double> value = 1.0 / p;
    if (!std::isfinite(std::abs(value))) return {};
    for (int k = 0; k < kNodes; ++k) {
      const double part = k % 2 == 0 ? value.real() : value.imag(), sign = k / 2 % 2 == 0 ? 1 : -1;
      b[static_cast<size_t>(k)] += sign * part * std::cos(k * angle) * (k == 0 ? 1.0 : 2.0) / kNodes;
    }
  }
  size_t kept = b.size();
  for (double dropped = 0; kept > 2 && dropped + std::abs(b[kept - 1]) <= error; --kept) {
    dropped += std::abs(b[kept - 1]);
  }
  if (kept > kMostDegree + 1) return {};
  b.resize(kept);
  return from_chebyshev(b, radius);
}

UpperBound series_bound(const std::vector<double>& coefficients, UpperBound radius) {
  const std::vector<long double> q = squared_modulus(coefficients);
  const long double end = static_cast<long double>(radius.value()) * static_cast<long double>(radius.value());
  long double maximum = q[0];
  for (int piece = 0; piece < kPieces; ++piece) {
    maximum = std::max(maximum, bernstein_maximum(q, end * piece / kPieces, end * (piece + 1) / kPieces));
  }
  // Rounding: the terms, before anything cancels, are at most (sum_k |c_k| R^k)^2, in 64-bit mantissas, through some 4
  // n operations each.
  long double size = 0, power = 1;
  for (double value : coefficients) {
    size += std::fabs(static_cast<long double>(value)) * power;
    power *= static_cast<long double>(radius.value());
  }
  const auto operations = static_cast<double>(4 * (q.size() + 1));
  const double slack = static_cast<double>(size * size) * operations * 0x1p-63;
  return UpperBound::proven(outward(std::sqrt(outward(static_cast<double>(maximum) + slack))));
}

std::string to_string(SeriesFamily family) { return family == SeriesFamily::taylor ? "taylor" : "chebyshev"; }

}  // namespace gsnet
