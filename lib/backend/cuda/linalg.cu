// Dense matrices: products and solves by the libraries, the rest here.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/faults.h"
#include "backend/cuda/loops.h"
#include "backend/cuda/sums.h"
#include "core/error.h"

namespace gsnet::cuda {
namespace {

constexpr int kExpDegree = 12;
constexpr double kExpRadius = 1.5;  // below it the Taylor polynomial is exact to rounding in single precision

/// a[b] += scale I.
void add_identity(Stream stream, double scale, Tensor& a) {
  const int64_t m = a.shape()[1], size = m * m;
  float* at = a.data<float>();
  const auto number = static_cast<float>(scale);
  for_each(stream, a.shape()[0] * m, [=] GSNET_DEVICE(int64_t i) { at[i / m * size + i % m * (m + 1)] += number; });
}

/// How often matrices of this 1-norm are halved, the largest deciding for all.
int exp_halvings(const std::vector<double>& column_sums) {
  double norm = 0;
  for (const double sum : column_sums) norm = std::max(norm, std::isnan(sum) ? INFINITY : sum);
  if (!(norm < 1e6)) throw Error("[matrix_exp] the matrix must be finite and of norm below 1e6");
  return norm <= kExpRadius ? 0 : static_cast<int>(std::ceil(std::log2(norm / kExpRadius)));
}

/// Sums of |a| over the rows, a column of a matrix each, on the host.
std::vector<double> column_sums(Runtime& runtime, const Tensor& a) {
  const int64_t m = a.shape()[1];
  const Tensor sums = Tensor::empty({a.shape()[0] * m}, DType::f64, Layout::row_major, runtime.memory());
  const float* from = a.data<float>();
  double* to = sums.data<double>();
  for_rows<Sum>(
      runtime.stream(), a.shape()[0] * m, m,
      [=] GSNET_DEVICE(int64_t i, int64_t row) {
        return fabs(static_cast<double>(from[(i / m * m + row) * m + i % m]));
      },
      [=] GSNET_DEVICE(int64_t i, double total) { to[i] = total; });
  std::vector<double> host(static_cast<size_t>(sums.numel()));
  runtime.to_host(host.data(), sums.raw(), sums.bytes());
  return host;
}

}  // namespace

// Horner on the scaled matrix s: p_12 = I / 12!, p_k = I / k! + s p_{k+1}, e = p_0 squared `halvings` times.
void CudaBackend::matrix_exp(const Tensor& a, Tensor& e) {
  if (a.numel() == 0) return;
  const int halvings = exp_halvings(column_sums(*runtime_, a));
  Tensor s = scratch(a.shape()), p = scratch(a.shape()), next = scratch(a.shape());
  scale(std::ldexp(1.0, -halvings), a, s);
  fill(0, p);
  double coefficient = 1 / std::tgamma(kExpDegree + 1);
  add_identity(stream(), coefficient, p);
  for (int k = kExpDegree - 1; k >= 0; --k) {
    coefficient *= k + 1;
    matmul(s, false, p, false, next);
    add_identity(stream(), coefficient, next);
    std::swap(p, next);
  }
  for (int i = 0; i < halvings; ++i) {
    matmul(p, false, p, false, next);
    std::swap(p, next);
  }
  copy(p, e);
}

// Reverse of the recurrence above, its iterates computed again.
void CudaBackend::matrix_exp_backward(const Tensor& a, const Tensor& de, Tensor& da) {
  if (a.numel() == 0) return;
  const int halvings = exp_halvings(column_sums(*runtime_, a));
  Tensor s = scratch(a.shape());
  scale(std::ldexp(1.0, -halvings), a, s);
  std::vector<Tensor> iterates = {scratch(a.shape())};
  fill(0, iterates.back());
  double coefficient = 1 / std::tgamma(kExpDegree + 1);
  add_identity(stream(), coefficient, iterates.back());
  for (int k = kExpDegree - 1; k >= 0; --k) {
    coefficient *= k + 1;
    Tensor next = scratch(a.shape());
    matmul(s, false, iterates.back(), false, next);
    add_identity(stream(), coefficient, next);
    iterates.push_back(std::move(next));
  }
  for (int i = 0; i + 1 < halvings; ++i) {
    Tensor next = scratch(a.shape());
    matmul(iterates.back(), false, iterates.back(), false, next);
    iterates.push_back(std::move(next));
  }
  Tensor g = scratch(a.shape()), left = scratch(a.shape()), right = scratch(a.shape()), ds = scratch(a.shape());
  copy(de, g);
  for (int i = 0; i < halvings; ++i) {  // e = p p: dp = de p' + p' de
    matmul(g, false, iterates.back(), true, left);
    matmul(iterates.back(), true, g, false, right);
    binary(BinaryOp::add, left, right, g);
    if (i + 1 < halvings) iterates.pop_back();
  }
  iterates.pop_back();  // p_0, whose gradient g is
  fill(0, ds);
  for (int k = 0; k < kExpDegree; ++k) {  // p_k = … + s p_{k+1}
    matmul(g, false, iterates.back(), true, left);
    binary(BinaryOp::add, ds, left, ds);
    matmul(s, true, g, false, right);
    std::swap(g, right);
    iterates.pop_back();
  }
  scale(std::ldexp(1.0, -halvings), ds, da);
}

namespace {

/// Notes matrices whose factor U has a pivot that is none.
void check_pivots(Stream stream, const Tensor& lu, int32_t* faults) {
  const int64_t m = lu.shape()[1];
  const float* from = lu.data<float>();
  for_each(stream, lu.shape()[0] * m, [=] GSNET_DEVICE(int64_t i) {
    const float pivot = fabsf(from[i / m * m * m + i % m * (m + 1)]);
    if (!(pivot > 1.1920929e-7F)) *faults = static_cast<int32_t>(Fault::singular);
  });
}

}  // namespace

// I + a and (I - a)^-1 commute. A row-major matrix is its transpose to a library that counts columns first: what is
// solved is (I - a)' q' = (I + a)', where q' in columns is q in rows.
void CudaBackend::cayley(const Tensor& a, Tensor& q) {
  if (a.numel() == 0) return;
  Tensor matrix = scratch(a.shape());
  scale(-1, a, matrix);
  add_identity(stream(), 1, matrix);
  copy(a, q);
  add_identity(stream(), 1, q);
  runtime_->solve(a.shape()[0], a.shape()[1], false, matrix.data<float>(), q.data<float>());
  check_pivots(stream(), matrix, faults());
}

// da (I - a)' = (I + q)' dq, which is (I - a) da' = ((I + q)' dq)'.
void CudaBackend::cayley_backward(const Tensor& a, const Tensor& q, const Tensor& dq, Tensor& da) {
  if (a.numel() == 0) return;
  Tensor matrix = scratch(a.shape()), sum = scratch(a.shape());
  scale(-1, a, matrix);
  add_identity(stream(), 1, matrix);
  copy(q, sum);
  add_identity(stream(), 1, sum);
  matmul(sum, true, dq, false, da);
  runtime_->solve(a.shape()[0], a.shape()[1], true, matrix.data<float>(), da.data<float>());
}

namespace {

constexpr double kTiny = 1.1754943508222875e-38;

}  // namespace

void CudaBackend::normalise_rows(const Tensor& w, Tensor& y) {
  const int64_t rows = w.shape()[0], columns = rows == 0 ? 0 : w.numel() / rows;
  const float* from = w.data<float>();
  float* to = y.data<float>();
  const Tensor squares_of = dots_of_rows(*runtime_, rows, columns, from, from);
  const double* squares = squares_of.data<double>();
  for_each(stream(), w.numel(), [=] GSNET_DEVICE(int64_t i) {
    to[i] = static_cast<float>(static_cast<double>(from[i]) / fmax(sqrt(squares[i / columns]), kTiny));
  });
}

void CudaBackend::normalise_rows_backward(const Tensor& w, const Tensor& dy, Tensor& dw) {
  const int64_t rows = w.shape()[0], columns = rows == 0 ? 0 : w.numel() / rows;
  const float* from = w.data<float>();
  const float* given = dy.data<float>();
  float* to = dw.data<float>();
  const Tensor squares_of = dots_of_rows(*runtime_, rows, columns, from, from);
  const Tensor along_of = dots_of_rows(*runtime_, rows, columns, from, given);
  const double* squares = squares_of.data<double>();
  const double* along = along_of.data<double>();
  for_each(stream(), w.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t r = i / columns;
    const double across = static_cast<double>(given[i]) - static_cast<double>(from[i]) * (along[r] / squares[r]);
    to[i] = static_cast<float>(across / fmax(sqrt(squares[r]), kTiny));
  });
}

}  // namespace gsnet::cuda
