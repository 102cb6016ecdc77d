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

constexpr int kExpDegree = 12;

/// Halvings that bring the 1-norm below the radius at which the Taylor polynomial is exact to rounding.
template <class T>
int exp_halvings(const T* a, int64_t m) {
  double norm = 0;
  for (int64_t column = 0; column < m; ++column) {
    double sum = 0;
    for (int64_t row = 0; row < m; ++row) sum += std::fabs(static_cast<double>(a[row * m + column]));
    norm = std::max(norm, sum);
  }
  GSNET_CHECK(std::isfinite(norm) && norm < 1e6,
              fmt::format("[matrix_exp] the matrix has norm {}: it must be finite and below 1e6", norm));
  const double radius = sizeof(T) == 8 ? 0.33 : 1.5;
  return norm <= radius ? 0 : static_cast<int>(std::ceil(std::log2(norm / radius)));
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

// Horner on the scaled matrix s: p_12 = I / 12!, p_k = I / k! + s p_{k+1}, e = p_0 squared `halvings` times.
template <class T>
void HostLinalg<T>::matrix_exp(const Tensor& a, Tensor& e) {
  const int64_t m = a.shape()[1], size = m * m;
  std::vector<T> s(static_cast<size_t>(size)), p(s), next(s);
  for (int64_t b = 0; b < a.shape()[0]; ++b) {
    const T* from = a.data<T>() + b * size;
    const int halvings = exp_halvings(from, m);
    for (int64_t i = 0; i < size; ++i) s[static_cast<size_t>(i)] = static_cast<T>(std::ldexp(from[i], -halvings));
    std::ranges::fill(p, T{0});
    double coefficient = 1 / std::tgamma(kExpDegree + 1);
    add_identity(coefficient, m, p.data());
    for (int k = kExpDegree - 1; k >= 0; --k) {
      coefficient *= k + 1;
      this->gemm({1, m, m, m}, s.data(), p.data(), next.data());
      add_identity(coefficient, m, next.data());
      std::swap(p, next);
    }
    for (int i = 0; i < halvings; ++i) {
      this->gemm({1, m, m, m}, p.data(), p.data(), next.data());
      std::swap(p, next);
    }
    std::ranges::copy(p, e.data<T>() + b * size);
  }
}

// Reverse of the recurrence above, its iterates computed again.
template <class T>
void HostLinalg<T>::matrix_exp_backward(const Tensor& a, const Tensor& de, Tensor& da) {
  const int64_t m = a.shape()[1], size = m * m;
  std::vector<T> s(static_cast<size_t>(size)), g(s), left(s), right(s), ds(s);
  for (int64_t b = 0; b < a.shape()[0]; ++b) {
    const T* from = a.data<T>() + b * size;
    const int halvings = exp_halvings(from, m);
    for (int64_t i = 0; i < size; ++i) s[static_cast<size_t>(i)] = static_cast<T>(std::ldexp(from[i], -halvings));
    std::vector<std::vector<T>> iterates(1, std::vector<T>(static_cast<size_t>(size)));
    double coefficient = 1 / std::tgamma(kExpDegree + 1);
    add_identity(coefficient, m, iterates.back().data());
    for (int k = kExpDegree - 1; k >= 0; --k) {
      coefficient *= k + 1;
      std::vector<T> next(static_cast<size_t>(size));
      this->gemm({1, m, m, m}, s.data(), iterates.back().data(), next.data());
      add_identity(coefficient, m, next.data());
      iterates.push_back(std::move(next));
    }
    for (int i = 0; i + 1 < halvings; ++i) {
      std::vector<T> next(static_cast<size_t>(size));
      this->gemm({1, m, m, m}, iterates.back().data(), iterates.back().data(), next.data());
      iterates.push_back(std::move(next));
    }
    std::copy_n(de.data<T>() + b * size, size, g.data());
    for (int i = 0; i < halvings; ++i) {  // e = p p: dp = de p' + p' de
      const T* p = iterates.back().data();
      this->gemm({1, m, m, m, false, true}, g.data(), p, left.data());
      this->gemm({1, m, m, m, true, false}, p, g.data(), right.data());
      std::ranges::transform(left, right, g.begin(), std::plus<T>());
      if (i + 1 < halvings) iterates.pop_back();
    }
    iterates.pop_back();  // p_0, whose gradient g is
    std::ranges::fill(ds, T{0});
    for (int k = 0; k < kExpDegree; ++k) {  // p_k = … + s p_{k+1}
      this->gemm({1, m, m, m, false, true}, g.data(), iterates.back().data(), left.data());
      std::ranges::transform(ds, left, ds.begin(), std::plus<T>());
      this->gemm({1, m, m, m, true, false}, s.data(), g.data(), right.data());
      std::swap(g, right);
      iterates.pop_back();
    }
    T* to = da.data<T>() + b * size;
    for (int64_t i = 0; i < size; ++i) to[i] = static_cast<T>(std::ldexp(ds[static_cast<size_t>(i)], -halvings));
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
