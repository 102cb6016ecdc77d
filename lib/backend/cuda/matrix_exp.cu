// Exponentials of matrices by powers, a polynomial and squarings, as host/linalg.cpp has them. How often a matrix is
// halved is decided on the device; how many squarings are made, on the host: as many as that where it may look, or, in
// work that is noted, a few more than any matrix before wanted, of which those that are not wanted count for nothing.
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/faults.h"
#include "backend/cuda/loops.h"
#include "core/error.h"

namespace gsnet::cuda {
namespace {

constexpr size_t kExpDegree = 12;     // as host/linalg.cpp
constexpr double kExpRadius = 1.5;    // below it the Taylor polynomial is exact to rounding in single precision
constexpr double kMostNorm = 1e6;     // as kNoNorm says
constexpr int kMostSquarings = 20;    // what that norm asks for
constexpr int kSquaringsToSpare = 2;  // of what is noted

double exp_coefficient(size_t k) { return 1 / std::tgamma(k + 1); }

/// norm <- the largest 1-norm of the matrices of a.
void one_norm(Runtime& runtime, const Tensor& a, double* norm) {
  const int64_t m = a.shape()[1], columns = a.shape()[0] * m;
  const Tensor sums = Tensor::empty({columns}, DType::f64, Layout::row_major, runtime.memory());
  const float* from = a.data<float>();
  double* sum = sums.data<double>();
  for_rows<Sum>(
      runtime.stream(), columns, m,
      [=] GSNET_DEVICE(int64_t i, int64_t row) {
        return fabs(static_cast<double>(from[(i / m * m + row) * m + i % m]));
      },
      [=] GSNET_DEVICE(int64_t i, double total) { sum[i] = total; });
  for_rows<Max>(
      runtime.stream(), 1, columns,
      [=] GSNET_DEVICE(int64_t, int64_t i) { return sum[i] == sum[i] ? sum[i] : static_cast<double>(INFINITY); },
      [=] GSNET_DEVICE(int64_t, double largest) { *norm = largest; });
}

/// norms: of a, a², a⁴. halvings <- how often to halve a, the largest of its matrices deciding for all; -1 where a norm
/// is none. The fourth root of the fourth power's norm is near the largest eigenvalue, the norm itself far above it.
void decide_halvings(Stream stream, const double* norms, int32_t* halvings) {
  for_each(stream, 1, [=] GSNET_DEVICE(int64_t) {
    const double radius = fmin(norms[0], fmin(sqrt(norms[1]), sqrt(sqrt(norms[2]))));
    *halvings = !(norms[0] < kMostNorm) ? -1
                : radius > kExpRadius   ? static_cast<int32_t>(ceil(log2(radius / kExpRadius)))
                                        : 0;
  });
}

/// What cannot be done is a fault, and counts as no halving; what was wanted is told.
void check_halvings(Stream stream, int32_t* halvings, int most, int32_t* faults, int32_t* wanted) {
  for_each(stream, 1, [=] GSNET_DEVICE(int64_t) {
    if (*halvings > *wanted) *wanted = *halvings;
    if (*halvings >= 0 && *halvings <= most) return;
    *faults = static_cast<int32_t>(*halvings < 0 ? Fault::norm : Fault::squarings);
    *halvings = 0;
  });
}

/// to = from 2^(-k h).
void halve(Stream stream, const int32_t* halvings, int k, const Tensor& from, Tensor& to) {
  const float* a = from.data<float>();
  float* out = to.data<float>();
  for_each(stream, from.numel(), [=] GSNET_DEVICE(int64_t i) { out[i] = ldexpf(a[i], -k * *halvings); });
}

struct Squares {
  const float* of[kMostSquarings + 1];
};

/// e = the square that h squarings make.
void pick_square(Stream stream, const int32_t* halvings, const Squares& squares, Tensor& e) {
  float* to = e.data<float>();
  for_each(stream, e.numel(), [=] GSNET_DEVICE(int64_t i) { to[i] = squares.of[*halvings][i]; });
}

/// g = next if more than `squaring` of them count.
void pass_squaring(Stream stream, const int32_t* halvings, int squaring, const Tensor& next, Tensor& g) {
  const float* from = next.data<float>();
  float* to = g.data<float>();
  for_each(stream, g.numel(), [=] GSNET_DEVICE(int64_t i) {
    if (squaring < *halvings) to[i] = from[i];
  });
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

/// a = s 2^h: s, s², s³, s⁴, and h; how many squarings are made, h where the host knows it.
struct CudaBackend::ExpPowers {
  std::vector<Tensor> of;
  Tensor halvings;
  int squarings = 0;

  const int32_t* h() const { return halvings.data<int32_t>(); }
};

CudaBackend::ExpPowers CudaBackend::exp_powers(const Tensor& a) {
  ExpPowers made;
  made.halvings = scratch({1}, DType::i32);
  for (int k = 1; k <= 4; ++k) made.of.push_back(scratch(a.shape()));
  copy(a, made.of[0]);
  matmul(a, false, a, false, made.of[1]);
  matmul(made.of[1], false, a, false, made.of[2]);
  matmul(made.of[1], false, made.of[1], false, made.of[3]);
  const Tensor norms = scratch({3}, DType::f64);
  one_norm(*runtime_, a, norms.data<double>());
  one_norm(*runtime_, made.of[1], norms.data<double>() + 1);
  one_norm(*runtime_, made.of[3], norms.data<double>() + 2);
  int32_t* halvings = made.halvings.data<int32_t>();
  decide_halvings(stream(), norms.data<double>(), halvings);
  if (runtime_->noting()) {
    made.squarings = std::min(most_squarings_ + kSquaringsToSpare, kMostSquarings);
  } else {
    int32_t known = 0;
    runtime_->to_host(&known, halvings, sizeof(known));
    if (known < 0) throw Error(kNoNorm);
    made.squarings = known;
    most_squarings_ = std::max(most_squarings_, made.squarings);
  }
  check_halvings(stream(), halvings, made.squarings, faults(), squarings_wanted());
  for (int k = 1; k <= 4; ++k) {
    Tensor& power = made.of[static_cast<size_t>(k) - 1];
    halve(stream(), halvings, k, power, power);
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
  const std::vector<Tensor> iterates = exp_iterates(powers, powers.squarings);
  Squares squares = {};
  for (size_t i = 2; i < iterates.size(); ++i) squares.of[i - 2] = iterates[i].data<float>();
  pick_square(stream(), powers.h(), squares, e);
}

// Reverse of the recurrences above, their iterates computed again.
void CudaBackend::matrix_exp_backward(const Tensor& a, const Tensor& de, Tensor& da) {
  if (a.numel() == 0) return;
  const ExpPowers powers = exp_powers(a);
  const std::vector<Tensor> iterates = exp_iterates(powers, std::max(powers.squarings - 1, 0));
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
  for (int i = powers.squarings - 1; i >= 0; --i) {  // e = p p: dp = de p' + p' de
    const Tensor& p = iterates[2 + static_cast<size_t>(i)];
    matmul(g, false, p, true, next);
    add_product(p, true, g, false, next);
    pass_squaring(stream(), powers.h(), i, next, g);
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
  halve(stream(), powers.h(), 1, d[0], da);
}

}  // namespace gsnet::cuda
