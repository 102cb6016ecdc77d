// Dense matrices: products and solves by the libraries, the rest here.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/faults.h"
#include "backend/cuda/loops.h"
#include "backend/cuda/sums.h"
#include "core/error.h"

namespace gsnet::cuda {
namespace {

constexpr size_t kExpDegree = 12;   // as host/linalg.cpp
constexpr double kExpRadius = 1.5;  // below it the Taylor polynomial is exact to rounding in single precision

double exp_coefficient(size_t k) { return 1 / std::tgamma(k + 1); }

/// a[b] += scale I.
void add_identity(Stream stream, double scale, Tensor& a) {
  const int64_t m = a.shape()[1], size = m * m;
  float* at = a.data<float>();
  const auto number = static_cast<float>(scale);
  for_each(stream, a.shape()[0] * m, [=] GSNET_DEVICE(int64_t i) { at[i / m * size + i % m * (m + 1)] += number; });
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

/// The largest 1-norm.
double one_norm(Runtime& runtime, const Tensor& a) {
  double norm = 0;
  for (const double sum : column_sums(runtime, a)) norm = std::max(norm, std::isnan(sum) ? INFINITY : sum);
  return norm;
}

/// to += c_1 a + c_2 b + c_3 c + c_0 I.
void add_terms(Stream stream, const std::array<double, 4>& coefficients, const Tensor& a, const Tensor& b,
               const Tensor& c, Tensor& to) {
  const int64_t m = to.shape()[1];
  const float *first = a.data<float>(), *second = b.data<float>(), *third = c.data<float>();
  float* sum = to.data<float>();
  const auto c0 = static_cast<float>(coefficients[0]), c1 = static_cast<float>(coefficients[1]),
             c2 = static_cast<float>(coefficients[2]), c3 = static_cast<float>(coefficients[3]);
  for_each(stream, to.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t entry = i % (m * m);
    sum[i] += c1 * first[i] + (c2 * second[i] + c3 * third[i]) + (entry % (m + 1) == 0 ? c0 : 0.0F);
  });
}

}  // namespace

/// a = s 2^h: s, s², s³, s⁴, and h, the largest deciding for all; see host/linalg.cpp.
struct CudaBackend::ExpPowers {
  std::vector<Tensor> of;
  int halvings = 0;
};

CudaBackend::ExpPowers CudaBackend::exp_powers(const Tensor& a) {
  const double norm = one_norm(*runtime_, a);
  if (!(norm < 1e6)) throw Error("[matrix_exp] the matrix must be finite and of norm below 1e6");
  ExpPowers made;
  for (int k = 1; k <= 4; ++k) made.of.push_back(scratch(a.shape()));
  copy(a, made.of[0]);
  matmul(a, false, a, false, made.of[1]);
  matmul(made.of[1], false, a, false, made.of[2]);
  matmul(made.of[1], false, made.of[1], false, made.of[3]);
  const double radius =
      std::min({norm, std::sqrt(one_norm(*runtime_, made.of[1])), std::pow(one_norm(*runtime_, made.of[3]), 0.25)});
  if (radius > kExpRadius) made.halvings = static_cast<int>(std::ceil(std::log2(radius / kExpRadius)));
  for (int k = 1; made.halvings > 0 && k <= 4; ++k) {
    Tensor& power = made.of[static_cast<size_t>(k) - 1];
    scale(std::ldexp(1.0, -made.halvings * k), power, power);
  }
  return made;
}

std::vector<Tensor> CudaBackend::exp_iterates(const ExpPowers& powers, int squarings) {
  const auto add = [&](size_t first, Tensor& to) {
    add_terms(
        stream(),
        {exp_coefficient(first), exp_coefficient(first + 1), exp_coefficient(first + 2), exp_coefficient(first + 3)},
        powers.of[0], powers.of[1], powers.of[2], to);
  };
  std::vector<Tensor> made = {scratch(powers.of[3].shape())};
  scale(exp_coefficient(kExpDegree), powers.of[3], made[0]);
  add(8, made[0]);
  for (const size_t first : {size_t{4}, size_t{0}}) {
    Tensor next = scratch(made[0].shape());
    matmul(powers.of[3], false, made.back(), false, next);
    add(first, next);
    made.push_back(std::move(next));
  }
  for (int i = 0; i < squarings; ++i) {
    Tensor next = scratch(made[0].shape());
    matmul(made.back(), false, made.back(), false, next);
    made.push_back(std::move(next));
  }
  return made;
}

void CudaBackend::matrix_exp(const Tensor& a, Tensor& e) {
  if (a.numel() == 0) return;
  const ExpPowers powers = exp_powers(a);
  copy(exp_iterates(powers, powers.halvings).back(), e);
}

// Reverse of the recurrences above, their iterates computed again.
void CudaBackend::matrix_exp_backward(const Tensor& a, const Tensor& de, Tensor& da) {
  if (a.numel() == 0) return;
  const ExpPowers powers = exp_powers(a);
  const std::vector<Tensor> iterates = exp_iterates(powers, std::max(powers.halvings - 1, 0));
  Tensor product = scratch(a.shape()), g = scratch(a.shape()), next = scratch(a.shape());
  std::vector<Tensor> d;
  for (int k = 1; k <= 4; ++k) {
    d.push_back(scratch(a.shape()));
    fill(0, d.back());
  }
  const auto add_product = [&](const Tensor& x, bool transpose_x, const Tensor& y, bool transpose_y, Tensor& to) {
    matmul(x, transpose_x, y, transpose_y, product);
    binary(BinaryOp::add, to, product, to);
  };
  copy(de, g);
  for (int i = 0; i < powers.halvings; ++i) {  // e = p p: dp = de p' + p' de
    const Tensor& p = iterates[iterates.size() - 1 - static_cast<size_t>(i)];
    matmul(g, false, p, true, next);
    add_product(p, true, g, false, next);
    std::swap(g, next);
  }
  for (const size_t first : {size_t{0}, size_t{4}, size_t{8}}) {  // p = s⁴ p_next + terms, the last c_12 s⁴ + terms
    const bool last = first + 4 == kExpDegree;
    for (size_t k = 1; k <= (last ? 4U : 3U); ++k) {
      scale(exp_coefficient(first + k), g, product);
      binary(BinaryOp::add, d[k - 1], product, d[k - 1]);
    }
    if (last) break;
    add_product(g, false, iterates[first == 0 ? 1 : 0], true, d[3]);
    matmul(powers.of[3], true, g, false, next);
    std::swap(g, next);
  }
  add_product(d[3], false, powers.of[1], true, d[1]);  // s⁴ = s² s²
  add_product(powers.of[1], true, d[3], false, d[1]);
  add_product(d[2], false, powers.of[0], true, d[1]);  // s³ = s² s
  add_product(powers.of[1], true, d[2], false, d[0]);
  add_product(d[1], false, powers.of[0], true, d[0]);  // s² = s s
  add_product(powers.of[0], true, d[1], false, d[0]);
  scale(std::ldexp(1.0, -powers.halvings), d[0], da);
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
