// Dense matrices of weight size.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/host/host_backend.h"
#include "backend/host/parallel.h"
#include "core/error.h"

namespace gsnet::host {
namespace {

constexpr size_t kExpDegree = 12;  // of the Taylor polynomial, which is exact to rounding up to exp_radius
constexpr size_t kExpPowers = 4;   // of the matrix that are kept: it is one of degree 3 in the fourth power

template <class T>
constexpr double exp_radius() {
  return sizeof(T) == 8 ? 0.33 : 1.5;
}

double exp_coefficient(size_t k) { return 1 / std::tgamma(k + 1); }

template <class T>
double one_norm(const T* a, int64_t m) {
  std::vector<double> sums(static_cast<size_t>(m));
  for (int64_t i = 0; i < m * m; ++i) sums[static_cast<size_t>(i % m)] += std::fabs(static_cast<double>(a[i]));
  double norm = 0;
  for (const double sum : sums) norm = std::max(norm, std::isnan(sum) ? INFINITY : sum);
  return norm;
}

template <class T>
void add_identity(double scale, int64_t m, T* a) {
  for (int64_t i = 0; i < m; ++i) a[i * m + i] += static_cast<T>(scale);
}

/// Solves x (I - a) = b for x in place of b, by Gaussian elimination with partial pivoting on (I - a)' x' = b'.
template <class T>
void solve_right(const T* a, int64_t m, std::vector<T>& matrix, T* b, bool transpose) {
  // matrix = (I - a)' for x (I - a) = b, or (I - a) for x (I - a)' = b; each row of b is one right-hand side.
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t c = 0; c < m; ++c) {
      const T entry = transpose ? a[r * m + c] : a[c * m + r];
      matrix[static_cast<size_t>(r * m + c)] = (r == c ? T{1} : T{0}) - entry;
    }
  }
  auto at = [&](int64_t r, int64_t c) -> T& { return matrix[static_cast<size_t>(r * m + c)]; };
  for (int64_t step = 0; step < m; ++step) {
    int64_t pivot = step;
    for (int64_t r = step + 1; r < m; ++r) {
      if (std::fabs(at(r, step)) > std::fabs(at(pivot, step))) pivot = r;
    }
    GSNET_CHECK(std::fabs(at(pivot, step)) > std::numeric_limits<T>::epsilon(),
                "[cayley] I - a is singular to working precision");
    if (pivot != step) {
      for (int64_t c = 0; c < m; ++c) std::swap(at(step, c), at(pivot, c));
      for (int64_t row = 0; row < m; ++row) std::swap(b[row * m + step], b[row * m + pivot]);
    }
    for (int64_t r = step + 1; r < m; ++r) {
      const T factor = at(r, step) / at(step, step);
      if (factor == 0) continue;
      for (int64_t c = step; c < m; ++c) at(r, c) -= factor * at(step, c);
      for (int64_t row = 0; row < m; ++row) b[row * m + r] -= factor * b[row * m + step];
    }
  }
  for (int64_t row = 0; row < m; ++row) {
    T* x = b + row * m;
    for (int64_t r = m; r-- > 0;) {
      T sum = x[r];
      for (int64_t c = r + 1; c < m; ++c) sum -= at(r, c) * x[c];
      x[r] = sum / at(r, r);
    }
  }
}

}  // namespace

template <class T>
void HostLinalg<T>::matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& y) {
  const int64_t batch = y.shape().rank() == 3 ? y.shape()[0] : 1;
  const int64_t inner = a.shape()[transpose_a ? -2 : -1];
  this->gemm({batch, y.shape()[-2], y.shape()[-1], inner, transpose_a, transpose_b}, a.data<T>(), b.data<T>(),
             y.data<T>());
}

namespace {

/// a = s 2^h: the powers s, s², s³, s⁴, and h. The fourth root of the fourth power's norm is near the largest
/// eigenvalue, the norm itself far above it, and every halving less is a squaring less, which doubles rounding errors.
template <class T>
struct ExpPowers {
  std::vector<T> of[kExpPowers];
  int halvings = 0;

  const T* power(size_t k) const { return of[k - 1].data(); }
};

template <class T, class Gemm>
ExpPowers<T> exp_powers(const T* a, int64_t m, const Gemm& gemm) {
  const double norm = one_norm(a, m);
  GSNET_CHECK(norm < 1e6, fmt::format("[matrix_exp] the matrix has norm {}: it must be finite and below 1e6", norm));
  ExpPowers<T> made;
  made.of[0].assign(a, a + m * m);
  for (size_t k = 2; k <= kExpPowers; ++k) made.of[k - 1].resize(static_cast<size_t>(m * m));
  gemm(made.power(1), made.power(1), made.of[1].data());
  gemm(made.power(2), made.power(1), made.of[2].data());
  gemm(made.power(2), made.power(2), made.of[3].data());
  const double radius =
      std::min({norm, std::sqrt(one_norm(made.power(2), m)), std::pow(one_norm(made.power(4), m), 0.25)});
  if (radius > exp_radius<T>()) made.halvings = static_cast<int>(std::ceil(std::log2(radius / exp_radius<T>())));
  for (size_t k = 1; made.halvings > 0 && k <= kExpPowers; ++k) {
    const T factor = std::ldexp(T{1}, -made.halvings * static_cast<int>(k));
    for (T& value : made.of[k - 1]) value *= factor;
  }
  return made;
}

/// to += the polynomial's terms of degree `first` to first + 3, without their common power.
template <class T>
void add_exp_terms(const ExpPowers<T>& powers, size_t first, int64_t m, std::vector<T>& to) {
  const auto c1 = static_cast<T>(exp_coefficient(first + 1)), c2 = static_cast<T>(exp_coefficient(first + 2)),
             c3 = static_cast<T>(exp_coefficient(first + 3));
  for (size_t i = 0; i < to.size(); ++i) {
    to[i] += c1 * powers.of[0][i] + (c2 * powers.of[1][i] + c3 * powers.of[2][i]);
  }
  add_identity(exp_coefficient(first), m, to.data());
}

/// p_2 = c_12 s⁴ + its terms, p_1 = s⁴ p_2 + its terms, p_0 likewise, and the first `squarings` squares of p_0.
template <class T, class Gemm>
std::vector<std::vector<T>> exp_iterates(const ExpPowers<T>& powers, int64_t m, int squarings, const Gemm& gemm) {
  std::vector<std::vector<T>> made(1, powers.of[3]);
  for (T& value : made[0]) value *= static_cast<T>(exp_coefficient(kExpDegree));
  add_exp_terms(powers, kExpDegree - kExpPowers, m, made[0]);
  for (const size_t first : {size_t{4}, size_t{0}}) {
    std::vector<T> next(made[0].size());
    gemm(powers.power(4), made.back().data(), next.data());
    add_exp_terms(powers, first, m, next);
    made.push_back(std::move(next));
  }
  for (int i = 0; i < squarings; ++i) {
    std::vector<T> next(made[0].size());
    gemm(made.back().data(), made.back().data(), next.data());
    made.push_back(std::move(next));
  }
  return made;
}

}  // namespace

template <class T>
void HostLinalg<T>::matrix_exp(const Tensor& a, Tensor& e) {
  const int64_t m = a.shape()[1], size = m * m;
  const auto gemm = [&](const T* x, const T* y, T* to) { this->gemm({1, m, m, m}, x, y, to); };
  for (int64_t b = 0; b < a.shape()[0]; ++b) {
    const ExpPowers<T> powers = exp_powers(a.data<T>() + b * size, m, gemm);
    std::ranges::copy(exp_iterates(powers, m, powers.halvings, gemm).back(), e.data<T>() + b * size);
  }
}

// Reverse of the recurrences above, their iterates computed again.
template <class T>
void HostLinalg<T>::matrix_exp_backward(const Tensor& a, const Tensor& de, Tensor& da) {
  const int64_t m = a.shape()[1], size = m * m;
  const auto gemm = [&](const T* x, const T* y, T* to) { this->gemm({1, m, m, m}, x, y, to); };
  std::vector<T> product(static_cast<size_t>(size)), g(product), d[kExpPowers];
  const auto add_product = [&](const T* x, bool transpose_x, const T* y, bool transpose_y, std::vector<T>& to) {
    this->gemm({1, m, m, m, transpose_x, transpose_y}, x, y, product.data());
    std::ranges::transform(to, product, to.begin(), std::plus<T>());
  };
  for (int64_t b = 0; b < a.shape()[0]; ++b) {
    const ExpPowers<T> powers = exp_powers(a.data<T>() + b * size, m, gemm);
    std::vector<std::vector<T>> iterates = exp_iterates(powers, m, std::max(powers.halvings - 1, 0), gemm);
    std::copy_n(de.data<T>() + b * size, size, g.data());
    for (int i = 0; i < powers.halvings; ++i) {  // e = p p: dp = de p' + p' de
      const std::vector<T>& p = iterates[iterates.size() - 1 - static_cast<size_t>(i)];
      std::vector<T> of_p(static_cast<size_t>(size));
      add_product(g.data(), false, p.data(), true, of_p);
      add_product(p.data(), true, g.data(), false, of_p);
      std::swap(g, of_p);
    }
    for (std::vector<T>& power : d) power.assign(static_cast<size_t>(size), T{0});
    for (const size_t first : {size_t{0}, size_t{4}, size_t{8}}) {  // p = s⁴ p_next + terms, the last c_12 s⁴ + terms
      const bool last = first + kExpPowers == kExpDegree;
      for (size_t k = 1; k <= (last ? kExpPowers : kExpPowers - 1); ++k) {
        const T c = static_cast<T>(exp_coefficient(first + k));
        for (size_t i = 0; i < g.size(); ++i) d[k - 1][i] += c * g[i];
      }
      if (last) break;
      add_product(g.data(), false, iterates[first == 0 ? 1 : 0].data(), true, d[3]);
      std::vector<T> next(static_cast<size_t>(size));
      add_product(powers.power(4), true, g.data(), false, next);
      std::swap(g, next);
    }
    add_product(d[3].data(), false, powers.power(2), true, d[1]);  // s⁴ = s² s²
    add_product(powers.power(2), true, d[3].data(), false, d[1]);
    add_product(d[2].data(), false, powers.power(1), true, d[1]);  // s³ = s² s
    add_product(powers.power(2), true, d[2].data(), false, d[0]);
    add_product(d[1].data(), false, powers.power(1), true, d[0]);  // s² = s s
    add_product(powers.power(1), true, d[1].data(), false, d[0]);
    T* to = da.data<T>() + b * size;
    for (int64_t i = 0; i < size; ++i) to[i] = std::ldexp(d[0][static_cast<size_t>(i)], -powers.halvings);
  }
}

template <class T>
void HostLinalg<T>::cayley(const Tensor& a, Tensor& q) {
  const int64_t m = a.shape()[1], size = m * m;
  std::vector<T> matrix(static_cast<size_t>(size));
  for (int64_t b = 0; b < a.shape()[0]; ++b) {
    const T* from = a.data<T>() + b * size;
    T* to = q.data<T>() + b * size;
    std::copy_n(from, size, to);
    add_identity(1, m, to);
    solve_right(from, m, matrix, to, false);
  }
}

template <class T>
void HostLinalg<T>::cayley_backward(const Tensor& a, const Tensor& q, const Tensor& dq, Tensor& da) {
  const int64_t m = a.shape()[1], size = m * m;
  std::vector<T> matrix(static_cast<size_t>(size)), sum(matrix);
  for (int64_t b = 0; b < a.shape()[0]; ++b) {
    std::copy_n(q.data<T>() + b * size, size, sum.data());
    add_identity(1, m, sum.data());
    T* to = da.data<T>() + b * size;
    this->gemm({1, m, m, m, true, false}, sum.data(), dq.data<T>() + b * size, to);
    solve_right(a.data<T>() + b * size, m, matrix, to, true);
  }
}

template <class T>
void HostLinalg<T>::normalise_rows(const Tensor& w, Tensor& y) {
  const int64_t rows = w.shape()[0], columns = w.numel() / std::max<int64_t>(rows, 1);
  for (int64_t r = 0; r < rows; ++r) {
    const T* from = w.data<T>() + r * columns;
    double squares = 0;
    for (int64_t c = 0; c < columns; ++c) squares += static_cast<double>(from[c]) * static_cast<double>(from[c]);
    const double length = std::max(std::sqrt(squares), static_cast<double>(std::numeric_limits<T>::min()));
    for (int64_t c = 0; c < columns; ++c) y.data<T>()[r * columns + c] = static_cast<T>(from[c] / length);
  }
}

template <class T>
void HostLinalg<T>::normalise_rows_backward(const Tensor& w, const Tensor& dy, Tensor& dw) {
  const int64_t rows = w.shape()[0], columns = w.numel() / std::max<int64_t>(rows, 1);
  for (int64_t r = 0; r < rows; ++r) {
    const T* from = w.data<T>() + r * columns;
    const T* given = dy.data<T>() + r * columns;
    double squares = 0, along = 0;
    for (int64_t c = 0; c < columns; ++c) {
      squares += static_cast<double>(from[c]) * static_cast<double>(from[c]);
      along += static_cast<double>(from[c]) * static_cast<double>(given[c]);
    }
    const double length = std::max(std::sqrt(squares), static_cast<double>(std::numeric_limits<T>::min()));
    for (int64_t c = 0; c < columns; ++c) {
      dw.data<T>()[r * columns + c] = static_cast<T>((given[c] - from[c] * (along / squares)) / length);
    }
  }
}

template class HostLinalg<float>;
template class HostLinalg<double>;

}  // namespace gsnet::host
