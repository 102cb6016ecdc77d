// The Gram norm of the cpu machine: as the host's, all iterates being symmetric and commuting, so that each product is
// little more than half a product, and each division by a norm is the scale of the product after it.
#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/scratch.h"

namespace gsnet::cpu {
namespace {

/// In eight partial sums, so that additions do not wait for each other.
double frobenius(const float* a, int64_t count) {
  std::array<double, 8> sums = {};
  for (int64_t i = 0; i + 8 <= count; i += 8) {
    for (int64_t j = 0; j < 8; ++j) {
      const auto value = static_cast<double>(a[i + j]);
      sums[static_cast<size_t>(j)] += value * value;
    }
  }
  double sum = 0;
  for (int64_t i = count / 8 * 8; i < count; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(a[i]);
  for (const double part : sums) sum += part;
  return std::sqrt(sum);
}

float inverse(double norm) { return norm > 0 ? static_cast<float>(1 / norm) : 1; }

/// a_0 = M M', a_{j+1} = (a_j / n_j)^2 with n_j the Frobenius norm of a_j; log_norm(j) is log |(M M')^(2^j)|.
class GramIteration {
 public:
  GramIteration(int threads, const float* matrix, int64_t m, int64_t columns, float* a, float* spare)
      : threads_(threads), m_(m), a_(a), spare_(spare) {
    multiply_symmetric(threads, {m, columns, true, 1}, matrix, matrix, a_);
    measure();
  }

  void square() {
    const float factor = inverse(norm_);
    multiply_symmetric(threads_, {m_, m_, false, factor * factor}, a_, a_, spare_);
    std::swap(a_, spare_);
    measure();
  }

  const float* a() const { return a_; }
  double norm() const { return norm_; }
  double log_norm() const { return log_norm_; }

 private:
  void measure() {
    norm_ = frobenius(a_, m_ * m_);
    log_norm_ = 2 * log_norm_ + std::log(norm_);
  }

  int threads_;
  int64_t m_;
  float* a_;
  float* spare_;
  double norm_ = 0, log_norm_ = 0;
};

/// A kernel's groups as matrices (out) x (in, h, w).
struct Groups {
  int64_t m, columns, count;
  double root;  ///< of the taps

  explicit Groups(const Tensor& k)
      : m(k.shape()[1]),
        columns(m * k.shape()[2] * k.shape()[3]),
        count(k.shape()[0] / std::max<int64_t>(m, 1)),
        root(std::sqrt(static_cast<double>(k.shape()[2] * k.shape()[3]))) {}
  int64_t square() const { return m * m; }
  int64_t size() const { return m * columns; }
};

/// Calls body(group, threads for its products, scratch): a thread a group, or all of them on one after the other.
template <class Body>
void each_group(int threads, int64_t groups, float* scratch, int64_t scratch_floats, Body&& body) {
  if (groups < threads || threads == 1) {
    for (int64_t group = 0; group < groups; ++group) body(group, threads, scratch);
    return;
  }
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int64_t group = 0; group < groups; ++group) body(group, 1, scratch + omp_get_thread_num() * scratch_floats);
}

/// The product of a group's iterates, each divided by its norm, into `product`; the logarithms of what was divided by
/// are added up in log_product, that of the last norm is in log_norm. Scratch: three squares.
struct IterateProduct {
  double log_norm = 0, log_product = 0;

  IterateProduct(int threads, const Groups& groups, const float* matrix, float* scratch, float* product) {
    const int64_t square = groups.square();
    GramIteration iteration(threads, matrix, groups.m, groups.columns, scratch, scratch + square);
    float* next = scratch + 2 * square;
    float* now = product;
    log_product = iteration.log_norm();
    const float first = inverse(iteration.norm());
    for (int64_t i = 0; i < square; ++i) now[i] = iteration.a()[i] * first;
    const int squarings = gram_squarings(groups.m);
    for (int i = 0; i < squarings; ++i) {
      iteration.square();
      log_product += iteration.log_norm();
      multiply_symmetric(threads, {groups.m, groups.m, false, inverse(iteration.norm())}, now, iteration.a(), next);
      std::swap(now, next);
    }
    if (now != product) std::copy_n(now, square, product);
    log_norm = iteration.log_norm();
  }
};

float norm_of(const Groups& groups, double log_norm) {
  return static_cast<float>(groups.root * std::exp(std::ldexp(log_norm, -gram_squarings(groups.m) - 1)));
}

}  // namespace

void CpuBackend::gram_norm(const Tensor& k, int64_t groups, Tensor& s, GramSaved* saved) {
  const Groups of(k);
  const int64_t scratch_floats = 3 * of.square();
  const Scratch scratch(memory(), static_cast<size_t>(threads() * scratch_floats) * sizeof(float));
  if (saved != nullptr) {
    saved->tensors = {Tensor::empty({groups, of.m, of.m}, DType::f32, Layout::row_major, memory()),
                      Tensor::empty({groups}, DType::f64, Layout::row_major, memory())};
  }
  each_group(threads(), groups, scratch.floats(), scratch_floats, [&](int64_t group, int threads, float* mine) {
    const float* matrix = k.data<float>() + group * of.size();
    if (saved != nullptr) {
      const IterateProduct product(threads, of, matrix, mine, saved->tensors[0].data<float>() + group * of.square());
      saved->tensors[1].data<double>()[group] = product.log_product;
      s.data<float>()[group] = norm_of(of, product.log_norm);
      return;
    }
    GramIteration iteration(threads, matrix, of.m, of.columns, mine, mine + of.square());
    for (int i = 0; i < gram_squarings(of.m); ++i) iteration.square();
    s.data<float>()[group] = norm_of(of, iteration.log_norm());
  });
}

// ds/dM = sqrt(taps) S^(1-p) (M M')^(p/2-1) M with S = s / sqrt(taps), the power being the product of all iterates.
void CpuBackend::gram_norm_backward(const Tensor& k, const Tensor& s, const GramSaved& saved, const Tensor& ds,
                                    Tensor& dk) {
  const Groups of(k);
  const double order = std::ldexp(1.0, gram_squarings(of.m) + 2);
  const bool again = saved.tensors.empty();
  const int64_t scratch_floats = again ? 4 * of.square() : 0;
  const Scratch scratch(memory(), static_cast<size_t>(threads() * scratch_floats) * sizeof(float));
  each_group(threads(), of.count, scratch.floats(), scratch_floats, [&](int64_t group, int threads, float* mine) {
    const float* matrix = k.data<float>() + group * of.size();
    const float* product = again ? mine : saved.tensors[0].data<float>() + group * of.square();
    const double log_product = again ? IterateProduct(threads, of, matrix, mine + of.square(), mine).log_product
                                     : saved.tensors[1].data<double>()[group];
    const double log_schatten = std::log(static_cast<double>(s.data<float>()[group]) / of.root);
    const double scale =
        static_cast<double>(ds.data<float>()[group]) * of.root * std::exp(log_product - (order - 1) * log_schatten);
    Product last = Product::dense(of.m, of.columns, of.m, false, false);
    last.scale = static_cast<float>(scale);
    multiply(threads, last, product, matrix, dk.data<float>() + group * of.size());
  });
}

}  // namespace gsnet::cpu
