// What the cpu machine does to kernels: the skew part as it is written, bilinear forms against the host loops in
// double, and their row kernels against sums as they are written.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "backend/cpu/make.h"
#include "backend/cpu/row_kernels.h"
#include "backend/host/host_backend.h"
#include "core/random.h"

namespace gsnet {
namespace {

class Oracle final : public host::HostBackend<double> {
 public:
  Oracle() : host::HostBackend<double>(1) {}
  std::string name() const override { return "oracle"; }
  std::string description() const override { return "host loops in double"; }
};

Tensor random_rows(const Shape& shape, uint64_t seed) {
  Tensor x = Tensor::empty(shape, DType::f32);
  Random random{RandomKey(seed)};
  for (float& value : x.host<float>()) value = static_cast<float>(random.normal());
  return x;
}

FourForms vectors_of(int64_t groups, int64_t m, int64_t side) {
  const int64_t taps = side * side;
  const std::array<int64_t, 4> us = {m * side, m * side, m * taps, m * taps}, vs = {m * side, m * side, m, m};
  FourForms made;
  for (size_t f = 0; f < 4; ++f) {
    made.u[f] = random_rows({groups, us[f]}, 10 + f);
    made.v[f] = random_rows({groups, vs[f]}, 20 + f);
  }
  return made;
}

double apart(const Tensor& fast, const Tensor& slow) {
  double difference = 0, size = 0;
  for (int64_t i = 0; i < fast.numel(); ++i) {
    const double expected = slow.data<double>()[i], d = static_cast<double>(fast.data<float>()[i]) - expected;
    difference += d * d;
    size += expected * expected;
  }
  return std::sqrt(difference / size);
}

}  // namespace

TEST_CASE("cpu: the skew part of kernels, number by number", "[cpu][norm]") {
  for (const auto& [high, wide] : std::vector<std::array<int64_t, 2>>{{1, 1}, {3, 3}, {1, 3}, {5, 3}}) {
    for (const int64_t m : {1, 5, 16, 17, 40}) {
      CAPTURE(high, wide, m);
      constexpr int64_t kGroups = 2;
      const auto cpu = make_cpu_backend(2);
      const Tensor w = random_rows({kGroups * m, m, high, wide}, 1);
      Tensor k = cpu->empty_like(w);
      cpu->skew(w, kGroups, k);
      const auto at = [&](int64_t g, int64_t o, int64_t i, int64_t tap) {
        return static_cast<size_t>(((g * m + o) * m + i) * high * wide + tap);
      };
      bool right = true;
      const auto before = w.host<float>(), after = k.host<float>();
      for (int64_t e = 0; e < w.numel(); ++e) {
        const int64_t taps = high * wide, tap = e % taps, i = e / taps % m, o = e / (taps * m) % m;
        const int64_t g = e / (taps * m * m);
        right =
            right && after[at(g, o, i, tap)] == (before[at(g, o, i, tap)] - before[at(g, i, o, taps - 1 - tap)]) / 2;
      }
      CHECK(right);
    }
  }
}

TEST_CASE("cpu: four forms of kernels", "[cpu][norm]") {
  Oracle oracle;
  constexpr double kTolerance = 1e-5;
  for (const auto& [groups, m, side] : std::vector<std::array<int64_t, 3>>{
           {1, 1, 3}, {2, 5, 3}, {3, 8, 3}, {1, 37, 3}, {4, 16, 3}, {2, 7, 1}, {1, 40, 1}, {2, 6, 5}}) {
    for (const int threads : {1, 2, 3}) {
      CAPTURE(groups, m, side, threads);
      const auto cpu = make_cpu_backend(threads);
      const Tensor k = random_rows({groups * m, m, side, side}, 1), ds = random_rows({groups}, 2);
      const Tensor wide = oracle.upload(k);
      FourForms fast = vectors_of(groups, m, side), slow;
      for (size_t f = 0; f < 4; ++f) {
        slow.u[f] = oracle.upload(fast.u[f]);
        slow.v[f] = oracle.upload(fast.v[f]);
      }
      Tensor s = cpu->empty({groups}), expected_s = oracle.empty({groups});
      Tensor smallest = Tensor::empty({groups}, DType::i32), expected_smallest = Tensor::empty({groups}, DType::i32);
      cpu->four_forms(k, groups, 2, fast, s, smallest);
      oracle.four_forms(wide, groups, 2, slow, expected_s, expected_smallest);
      CHECK(apart(s, expected_s) < kTolerance);
      CHECK(std::ranges::equal(smallest.host<int32_t>(), expected_smallest.host<int32_t>()));
      for (size_t f = 0; f < 4; ++f) {
        CHECK(apart(fast.u[f], slow.u[f]) < kTolerance);
        CHECK(apart(fast.v[f], slow.v[f]) < kTolerance);
      }
      Tensor dk = cpu->empty_like(k), expected_dk = oracle.empty_like(wide);
      cpu->four_forms_backward(fast, smallest, ds, dk);
      oracle.four_forms_backward(slow, expected_smallest, oracle.upload(ds), expected_dk);
      CHECK(apart(dk, expected_dk) < kTolerance);
    }
  }
}

TEST_CASE("cpu: four forms give the same bits on every number of threads", "[cpu][norm]") {
  const Tensor k = random_rows({60, 30, 3, 3}, 1);
  std::vector<float> first;
  for (const int threads : {1, 2, 5}) {
    const auto cpu = make_cpu_backend(threads);
    FourForms forms = vectors_of(2, 30, 3);
    Tensor s = cpu->empty({2}), smallest = Tensor::empty({2}, DType::i32);
    cpu->four_forms(k, 2, 3, forms, s, smallest);
    const auto numbers = forms.u[2].host<float>();
    const std::vector<float> now(numbers.begin(), numbers.end());
    if (first.empty()) first = now;
    CHECK((now == first));
  }
}

TEST_CASE("cpu: row kernels of every instruction set the processor has", "[cpu][norm]") {
  std::vector<const cpu::RowKernels*> sets = {&cpu::row_kernels_base(), &cpu::row_kernels()};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets.push_back(&cpu::row_kernels_avx2());
  for (const cpu::RowKernels* kernels : sets) {
    for (const int64_t count : {1, 9, 40, 63, 144, 333}) {
      CAPTURE(count);
      const Tensor row = random_rows({count}, 1);
      Random random{RandomKey(2)};
      std::vector<double> weights(static_cast<size_t>(count)), pattern(9), sums(9), expected(9);
      for (double& value : weights) value = random.normal();
      for (double& value : pattern) value = random.normal();
      kernels->dot(row.data<float>(), weights.data(), count, sums.data());
      std::vector<double> to(weights), product(weights.size());
      std::vector<float> outer(weights.size());
      kernels->add(row.data<float>(), pattern.data(), count, to.data());
      kernels->outer(weights.data(), pattern.data(), count, outer.data());
      for (int64_t j = 0; j < count; ++j) {
        const auto at = static_cast<size_t>(j);
        const auto value = static_cast<double>(row.data<float>()[j]);
        expected[at % 9] += value * weights[at];
        CHECK(to[at] == Approx(weights[at] + value * pattern[at % 9]).epsilon(1e-12));
        CHECK(static_cast<double>(outer[at]) == Approx(weights[at] * pattern[at % 9]).epsilon(1e-6));
      }
      for (size_t t = 0; t < 9; ++t) CHECK(sums[t] == Approx(expected[t]).epsilon(1e-12).margin(1e-12));
    }
  }
}

}  // namespace gsnet
