// The Gram norm of the cpu machine: as the host's, all iterates being symmetric and commuting, so that each product is
// little more than half a product, and each division by a norm is the scale of the product after it.
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

}  // namespace

void CpuBackend::gram_norm(const Tensor& k, int64_t groups, Tensor& s) {
  const int64_t m = k.shape()[1], taps = k.shape()[2] * k.shape()[3], columns = m * taps;
  const int squarings = gram_squarings(m);
  const Scratch scratch(memory(), static_cast<size_t>(2 * m * m) * sizeof(float));
  for (int64_t group = 0; group < groups; ++group) {
    GramIteration iteration(threads(), k.data<float>() + group * m * columns, m, columns, scratch.floats(),
                            scratch.floats() + m * m);
    for (int i = 0; i < squarings; ++i) iteration.square();
    const double root = std::sqrt(static_cast<double>(taps));
    s.data<float>()[group] = static_cast<float>(root * std::exp(std::ldexp(iteration.log_norm(), -squarings - 1)));
  }
}

// ds/dM = sqrt(taps) S^(1-p) (M M')^(p/2-1) M with S = s / sqrt(taps), the power being the product of all iterates.
void CpuBackend::gram_norm_backward(const Tensor& k, const Tensor& s, const Tensor& ds, Tensor& dk) {
  const int64_t m = k.shape()[1], taps = k.shape()[2] * k.shape()[3], columns = m * taps, square = m * m;
  const int squarings = gram_squarings(m);
  const double order = std::ldexp(1.0, squarings + 2);
  const Scratch scratch(memory(), static_cast<size_t>(4 * square) * sizeof(float));
  float* product = scratch.floats() + 2 * square;
  float* next = product + square;
  for (int64_t group = 0; group < s.numel(); ++group) {
    const float* matrix = k.data<float>() + group * m * columns;
    GramIteration iteration(threads(), matrix, m, columns, scratch.floats(), scratch.floats() + square);
    double log_product = iteration.log_norm();
    const float first = inverse(iteration.norm());
    for (int64_t i = 0; i < square; ++i) product[i] = iteration.a()[i] * first;
    for (int i = 0; i < squarings; ++i) {
      iteration.square();
      log_product += iteration.log_norm();
      multiply_symmetric(threads(), {m, m, false, inverse(iteration.norm())}, product, iteration.a(), next);
      std::swap(product, next);
    }
    const double root = std::sqrt(static_cast<double>(taps));
    const double log_schatten = std::log(static_cast<double>(s.data<float>()[group]) / root);
    const double scale =
        static_cast<double>(ds.data<float>()[group]) * root * std::exp(log_product - (order - 1) * log_schatten);
    Product last = Product::dense(m, columns, m, false, false);
    last.scale = static_cast<float>(scale);
    multiply(threads(), last, product, matrix, dk.data<float>() + group * m * columns);
  }
}

}  // namespace gsnet::cpu
