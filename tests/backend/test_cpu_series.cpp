// The cpu machine's series against the host loops in double, which sum powers as they are written and take the
// adjoint without assuming skewness.
#include <catch2/catch.hpp>
#include <vector>

#include "support/cpu_series.h"

namespace gsnet {
namespace {

void compare(Backend& cpu, const Case& c) {
  CAPTURE(c.batch, c.group_channels, c.groups, c.height, c.width, c.kernel_height, c.kernel_width, c.degree);
  Oracle oracle;
  const Problem problem = problem_of(c, oracle);
  const Results expected = run(oracle, problem, exponential(c.degree, c.groups, SeriesSave::iterates));
  for (const SeriesSave save : {SeriesSave::iterates, SeriesSave::input}) {
    const SeriesSpec spec = exponential(c.degree, c.groups, save);
    const Results r = run(cpu, problem, spec);
    CHECK(relative_error(r.y, expected.y) < kTolerance);
    CHECK(relative_error(r.dx, expected.dx) < kTolerance);
    CHECK(relative_error(r.dk, expected.dk) < kTolerance);
    CHECK(relative_error(r.lone_dx, expected.dx) < kTolerance);
    CHECK(relative_error(r.lone_dk, expected.dk) < kTolerance);
    Tensor y = cpu.empty_like(r.y);
    cpu.conv_exp(problem.x, problem.k, spec, y, nullptr);
    CHECK(relative_error(y, expected.y) < kTolerance);
    SeriesSpec fast = spec;
    fast.products = SeriesProducts::fast;
    const Results f = run(cpu, problem, fast);
    CHECK(relative_error(f.y, expected.y) < kTolerance);
    CHECK(relative_error(f.dx, expected.dx) < kTolerance);
    CHECK(relative_error(f.dk, expected.dk) < kTolerance);
    CHECK(relative_error(f.lone_dx, expected.dx) < kTolerance);
    CHECK(relative_error(f.lone_dk, expected.dk) < kTolerance);
    const Results again = run(cpu, problem, spec);
    CHECK(same_bits(r.y, again.y));
    CHECK(same_bits(r.dx, again.dx));
    CHECK(same_bits(r.dk, again.dk));
  }
}

}  // namespace

TEST_CASE("cpu: series over channels and maps", "[cpu][series]") {
  const auto cpu = make_cpu_backend(2);
  for (const int64_t channels : {1, 3, 8, 16, 30, 64}) {
    for (const auto& [height, width] : std::vector<std::array<int64_t, 2>>{{1, 1}, {2, 2}, {3, 5}, {8, 8}}) {
      compare(*cpu, {5, channels, 2, height, width, 3, 3, 3});
    }
  }
  compare(*cpu, {3, 16, 1, 16, 16, 3, 3, 3});
  compare(*cpu, {2, 8, 4, 16, 16, 3, 3, 2});
}

TEST_CASE("cpu: series over batches and groups", "[cpu][series]") {
  const auto cpu = make_cpu_backend(2);
  for (const int64_t batch : {1, 2, 5, 8, 16, 37}) {
    for (const int64_t groups : {1, 2, 3, 4}) compare(*cpu, {batch, 8, groups, 4, 3, 3, 3, 4});
  }
}

TEST_CASE("cpu: series over kernels and degrees", "[cpu][series]") {
  const auto cpu = make_cpu_backend(2);
  for (const auto& [high, wide] : std::vector<std::array<int64_t, 2>>{{1, 1}, {5, 5}, {1, 3}, {5, 1}, {7, 3}}) {
    compare(*cpu, {5, 6, 2, 4, 5, high, wide, 3});
  }
  for (int degree = 1; degree <= 6; ++degree) compare(*cpu, {9, 10, 2, 2, 3, 3, 3, degree});
  compare(*cpu, {17, 12, 3, 4, 4, 3, 3, 12});
}

TEST_CASE("cpu: series on every number of threads", "[cpu][series]") {
  for (const int threads : {1, 2, 3, 4, 5, 8}) {
    const auto cpu = make_cpu_backend(threads);
    compare(*cpu, {16, 20, 1, 4, 4, 3, 3, 5});
    compare(*cpu, {37, 9, 3, 3, 3, 3, 3, 4});
    compare(*cpu, {5, 4, 1, 1, 1, 3, 3, 2});
  }
}

TEST_CASE("cpu: the adjoint of the series is its inverse", "[cpu][series]") {
  const auto cpu = make_cpu_backend(2);
  Oracle oracle;
  for (const int64_t batch : {1, 4, 20}) {
    const Problem problem = problem_of({batch, 12, 2, 5, 5, 3, 3, 16}, oracle);
    const SeriesSpec spec = exponential(16, 2, SeriesSave::input);
    Tensor y = cpu->empty_like(problem.x), back = cpu->empty_like(problem.x);
    cpu->conv_exp(problem.x, problem.k, spec, y, nullptr);
    cpu->conv_exp_backward(problem.x, problem.k, spec, {}, y, &back, nullptr);
    CHECK(relative_error(back, with_dtype(problem.x, DType::f64)) < 1e-5);
  }
}

TEST_CASE("cpu: a kept kernel gives the same bits, and is another where the map wants one", "[cpu][series]") {
  const auto cpu = make_cpu_backend(2);
  Oracle oracle;
  SeriesSpec kept = exponential(3, 2, SeriesSave::input);
  kept.products = SeriesProducts::fast;
  kept.cache = std::make_shared<SeriesCache>();
  SeriesSpec fresh = kept;
  fresh.cache = nullptr;
  const Problem problem = problem_of({40, 16, 2, 8, 8, 3, 3, 3}, oracle);
  for (const int64_t side : {8, 2, 1, 8}) {
    const Tensor x = random_tensor({40, 32, side, side}, 5, 1, Layout::channels_last);
    Tensor expected = cpu->empty_like(x);
    cpu->conv_exp(x, problem.k, fresh, expected, nullptr);
    for (int call = 0; call < 2; ++call) {
      Tensor y = cpu->empty_like(x), dx = cpu->empty_like(x), expected_dx = cpu->empty_like(x);
      cpu->conv_exp(x, problem.k, kept, y, nullptr);
      CHECK(same_bits(y, expected));
      cpu->conv_exp_backward(x, problem.k, kept, {}, y, &dx, nullptr);
      cpu->conv_exp_backward(x, problem.k, fresh, {}, y, &expected_dx, nullptr);
      CHECK(same_bits(dx, expected_dx));
    }
  }
}

TEST_CASE("cpu: an empty batch through the series", "[cpu][series]") {
  const auto cpu = make_cpu_backend(2);
  const Tensor x = Tensor::empty({0, 4, 3, 3}, DType::f32, Layout::channels_last);
  const Tensor k = random_tensor({4, 4, 3, 3}, 4, 1);
  Tensor y = cpu->empty_like(x), dx = cpu->empty_like(x), dk = cpu->empty_like(k);
  const SeriesSpec spec = exponential(3, 1, SeriesSave::iterates);
  SeriesSaved saved;
  cpu->conv_exp(x, k, spec, y, &saved);
  cpu->conv_exp_backward(x, k, spec, saved, y, &dx, &dk);
  for (const float value : dk.host<float>()) CHECK(value == 0);
}

TEST_CASE("cpu: every instruction set the processor has", "[cpu][series]") {
  Oracle oracle;
  std::vector<const cpu::SeriesKernels*> sets = {&cpu::series_kernels_base(), &cpu::series_kernels()};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets.push_back(&cpu::series_kernels_avx2());
  // Small groups on a map of many pixels take a gradient of their own, with widths that four does not divide too.
  // The seventh: blocks of one vector of images, so tiles are taken in twos, and there are nine, some over the edge.
  // Then gradients whose terms wait for each other, over several blocks and chunks, and one that all threads share; and
  // tiles along rows: one, an odd number, some over the edge, blocks of one vector and of two, rows shared by threads.
  const std::vector<Case> cases = {
      {21, 13, 2, 5, 4, 3, 3, 4},   {21, 13, 2, 2, 2, 3, 3, 4}, {7, 40, 1, 8, 8, 3, 3, 3},
      {37, 8, 3, 9, 8, 3, 3, 3},    {21, 7, 2, 8, 9, 3, 3, 3},  {5, 3, 1, 16, 5, 1, 3, 3},
      {19, 20, 1, 11, 10, 3, 3, 3}, {70, 64, 1, 4, 4, 3, 3, 3}, {90, 64, 2, 9, 8, 3, 3, 2},
      {36, 256, 1, 4, 4, 3, 3, 2},  {37, 8, 2, 1, 4, 3, 3, 3},  {21, 12, 2, 5, 10, 3, 3, 3},
      {37, 5, 2, 7, 12, 3, 3, 2},   {3, 6, 1, 16, 7, 3, 3, 3},  {49, 1, 4, 40, 8, 3, 3, 2}};
  for (const Case& c : cases) {
    const Problem problem = problem_of(c, oracle);
    SeriesSpec spec = exponential(c.degree, c.groups, SeriesSave::iterates);
    const Results expected = run(oracle, problem, spec);
    for (const cpu::SeriesKernels* kernels : sets) {
      for (const SeriesProducts products : {SeriesProducts::direct, SeriesProducts::fast}) {
        INFO(kernels->name << (products == SeriesProducts::fast ? ", fast" : ""));
        spec.products = products;
        const cpu::SeriesMachine machine{kernels, 2, default_host_allocator()};
        Tensor y = Tensor::empty(problem.x.shape(), DType::f32, Layout::channels_last);
        Tensor dx = Tensor::empty(problem.x.shape(), DType::f32, Layout::channels_last);
        SeriesSaved saved;
        cpu::series_forward(machine, problem.x, problem.k, spec, 1, y, &saved);
        const Tensor dk = backward_of(machine, problem, spec, saved, &dx);
        CHECK(relative_error(y, expected.y) < kTolerance);
        CHECK(relative_error(dx, expected.dx) < kTolerance);
        CHECK(relative_error(dk, expected.dk) < kTolerance);
      }
    }
  }
}

}  // namespace gsnet
