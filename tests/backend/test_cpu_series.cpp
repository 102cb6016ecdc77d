// The cpu machine's series against the host loops in double, which sum powers as they are written and take the
// adjoint without assuming skewness.
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <vector>

#include "backend/cpu/make.h"
#include "backend/cpu/series.h"
#include "backend/host/host_backend.h"
#include "core/random.h"
#include "support/amx_traps.h"

namespace gsnet {
namespace {

class Oracle final : public host::HostBackend<double> {
 public:
  Oracle() : host::HostBackend<double>(1) {}
  std::string name() const override { return "oracle"; }
  std::string description() const override { return "host loops in double"; }
};

Tensor random_tensor(const Shape& shape, uint64_t seed, double size, Layout layout = Layout::row_major) {
  Tensor x = Tensor::empty(shape, DType::f32, layout);
  Random random{RandomKey(seed)};
  for (float& value : x.host<float>()) value = static_cast<float>(size * random.normal());
  return x;
}

double relative_error(const Tensor& a, const Tensor& b) {
  double apart = 0, size = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double difference = static_cast<double>(a.data<float>()[i]) - b.data<double>()[i];
    apart += difference * difference;
    size += b.data<double>()[i] * b.data<double>()[i];
  }
  return size == 0 ? std::sqrt(apart) : std::sqrt(apart / size);
}

bool same_bits(const Tensor& a, const Tensor& b) { return std::memcmp(a.raw(), b.raw(), a.bytes()) == 0; }

constexpr double kTolerance = 3e-6;  // a few roundings of sums of up to some thousand products, a term

SeriesSpec exponential(int degree, int64_t groups, SeriesSave save) {
  SeriesSpec spec{.coefficients = {1}, .groups = groups, .save = save};
  for (int m = 1; m <= degree; ++m) spec.coefficients.push_back(spec.coefficients.back() / m);
  return spec;
}

struct Case {
  int64_t batch, group_channels, groups, height, width, kernel_height, kernel_width;
  int degree;
};

struct Problem {
  Tensor x, k, dy;
};

Problem problem_of(const Case& c, Backend& oracle) {
  const int64_t channels = c.group_channels * c.groups;
  const Shape shape = {c.batch, channels, c.height, c.width};
  const double size = 1 / std::sqrt(static_cast<double>(c.group_channels * c.kernel_height * c.kernel_width));
  const Tensor w = random_tensor({channels, c.group_channels, c.kernel_height, c.kernel_width}, 1, size);
  Tensor k = oracle.empty(w.shape());
  oracle.skew(oracle.upload(w), c.groups, k);
  return {random_tensor(shape, 2, 1, Layout::channels_last), with_dtype(k, DType::f32),
          random_tensor(shape, 3, 1, Layout::channels_last)};
}

struct Results {
  Tensor y, dx, dk, lone_dx, lone_dk;
};

Results run(Backend& machine, const Problem& problem, const SeriesSpec& spec) {
  const Tensor x = machine.upload(problem.x), k = machine.upload(problem.k), dy = machine.upload(problem.dy);
  Results r{machine.empty_like(x), machine.empty_like(x), machine.empty_like(k), machine.empty_like(x),
            machine.empty_like(k)};
  SeriesSaved saved;
  machine.conv_exp(x, k, spec, r.y, &saved);
  machine.conv_exp_backward(x, k, spec, saved, dy, &r.dx, &r.dk);
  machine.conv_exp_backward(x, k, spec, saved, dy, &r.lone_dx, nullptr);
  machine.conv_exp_backward(x, k, spec, saved, dy, nullptr, &r.lone_dk);
  return r;
}

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
        const Tensor dk = cpu::series_backward(machine, problem.x, problem.k, spec, saved, problem.dy, &dx);
        CHECK(relative_error(y, expected.y) < kTolerance);
        CHECK(relative_error(dx, expected.dx) < kTolerance);
        CHECK(relative_error(dk, expected.dk) < kTolerance);
      }
    }
  }
}

TEST_CASE("cpu: a series between its ends is the same kernels one after the other, bit for bit", "[cpu][series]") {
  struct Between {
    int64_t images, channels, side, block, inner, outputs, groups;
  };
  for (const Between& c : {Between{32, 16, 8, 1, 16, 16, 2},
                           {37, 3, 8, 2, 16, 16, 4},
                           {40, 9, 6, 1, 24, 11, 3},
                           {64, 8, 8, 2, 32, 16, 4},
                           {33, 6, 4, 1, 6, 6, 1}}) {
    for (const int threads : {1, 2, 3}) {
      const auto cpu = make_cpu_backend(threads);
      INFO(c.images << " images of " << c.channels << " channels, " << threads << " threads");
      const int64_t deep = c.channels * c.block * c.block;
      const ChannelMap before =
          ChannelMap::shuffle(deep, c.groups, true).then(ChannelMap::per_group(deep, c.inner, c.groups));
      const ChannelMap after = ChannelMap::per_group(c.inner, c.outputs, c.groups);
      const Tensor x = random_tensor({c.images, c.channels, c.side, c.side}, 1, 1, Layout::channels_last);
      const Tensor k = random_tensor({c.inner, c.inner / c.groups, 3, 3}, 2, 0.1),
                   bias = random_tensor({c.outputs}, 3, 1);
      for (const int degree : {1, 3}) {
        SeriesSpec spec = exponential(degree, c.groups, SeriesSave::iterates);
        spec.products = SeriesProducts::fast;
        for (const Tensor* added : {&bias, static_cast<const Tensor*>(nullptr)}) {
          const SeriesEnds ends = {c.block, &before, &after, added};
          const Shape shape = {c.images, c.outputs, c.side / c.block, c.side / c.block};
          Tensor together = cpu->empty(shape, Layout::channels_last), apart = cpu->empty(shape, Layout::channels_last);
          SeriesSaved saved, expected;
          cpu->conv_exp_between(x, k, spec, ends, together, &saved);
          cpu->Backend::conv_exp_between(x, k, spec, ends, apart, &expected);
          CHECK(same_bits(together, apart));
          REQUIRE(saved.tensors.size() == expected.tensors.size());
          for (size_t i = 0; i < saved.tensors.size(); ++i) CHECK(same_bits(saved.tensors[i], expected.tensors[i]));
        }
      }
    }
  }
}

TEST_CASE("cpu: a series between its ends on every instruction set", "[cpu][series]") {
  std::vector<const cpu::SeriesKernels*> sets = {&cpu::series_kernels_base(), &cpu::series_kernels()};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets.push_back(&cpu::series_kernels_avx2());
  const auto cpu = make_cpu_backend(1);
  const ChannelMap before = ChannelMap::shuffle(12, 2, true).then(ChannelMap::per_group(12, 14, 2));
  const ChannelMap after = ChannelMap::per_group(14, 9, 2);
  const Tensor x = random_tensor({37, 3, 10, 6}, 1, 1, Layout::channels_last), bias = random_tensor({9}, 3, 1);
  const Tensor k = random_tensor({14, 7, 3, 3}, 2, 0.1);
  const SeriesEnds ends = {2, &before, &after, &bias};
  const SeriesSpec spec = exponential(3, 2, SeriesSave::input);
  Tensor expected = cpu->empty({37, 9, 5, 3}, Layout::channels_last);
  cpu->Backend::conv_exp_between(x, k, spec, ends, expected, nullptr);
  for (const cpu::SeriesKernels* kernels : sets) {
    for (const int threads : {1, 2}) {
      INFO(kernels->name << ", " << threads << " threads");
      const Tensor y = Tensor::empty(expected.shape(), DType::f32, Layout::channels_last);
      const cpu::SeriesMachine machine{kernels, threads, default_host_allocator()};
      REQUIRE((cpu::series_between(machine, x, k, spec, ends, y, nullptr) || threads > 1));
      if (threads == 1) CHECK(relative_error(y, with_dtype(expected, DType::f64)) < kTolerance);
    }
  }
}

TEST_CASE("cpu: products of bf16 are those of rounded factors", "[cpu][series]") {
  if (cpu::series_kernels().reduced == nullptr) {
    WARN("skipped: the processor has no AVX512-BF16");
    return;
  }
  Oracle oracle;
  // Tiles in twos and of two vectors, whole maps of 2 x 2, direct sums, small groups, a team of threads, odd channels.
  for (const Case& c : {Case{48, 32, 2, 8, 8, 3, 3, 3},
                        {37, 20, 1, 11, 10, 3, 3, 3},
                        {40, 16, 2, 2, 2, 3, 3, 4},
                        {33, 48, 1, 1, 1, 3, 3, 3},
                        {37, 8, 4, 9, 12, 3, 3, 3},
                        {20, 40, 1, 3, 3, 3, 3, 2},
                        {16, 64, 1, 4, 4, 3, 3, 3},
                        {16, 9, 2, 8, 8, 3, 3, 3},
                        {7, 6, 2, 5, 4, 5, 3, 3}}) {
    CAPTURE(c.batch, c.group_channels, c.groups, c.height, c.width);
    const Problem problem = problem_of(c, oracle);
    const Results expected = run(oracle, problem, exponential(c.degree, c.groups, SeriesSave::iterates));
    for (const int threads : {1, 2, 3}) {
      const auto cpu = make_cpu_backend(threads);
      for (const SeriesSave save : {SeriesSave::iterates, SeriesSave::input}) {
        SeriesSpec spec = exponential(c.degree, c.groups, save);
        spec.products = SeriesProducts::bf16;
        const Results r = run(*cpu, problem, spec), again = run(*cpu, problem, spec);
        // A bf16 is off by up to 2^-9; the transforms of tiles make that about three times as much.
        constexpr double kRounded = 1e-2;
        CHECK(relative_error(r.y, expected.y) < kRounded);
        CHECK(relative_error(r.dx, expected.dx) < kRounded);
        CHECK(relative_error(r.dk, expected.dk) < 2 * kRounded);
        CHECK(relative_error(r.lone_dk, expected.dk) < 2 * kRounded);
        CHECK(same_bits(r.y, again.y));
        CHECK(same_bits(r.dk, again.dk));
        if (c.group_channels % 2 == 0) CHECK(relative_error(r.y, expected.y) > kTolerance);
      }
    }
  }
}

TEST_CASE("cpu: products of bf16 by tiles are those by vectors", "[cpu][series][amx]") {
  if (cpu::series_kernels().reduced == nullptr) {
    WARN("skipped: the processor has no AVX512-BF16, which comes with AMX");
    return;
  }
  const AmxTraps traps;
  cpu::SeriesKernels by_vectors = cpu::series_kernels_avx512(), by_tiles = by_vectors;
  by_vectors.reduced = &cpu::reduced_kernels();
  by_tiles.reduced = &cpu::reduced_kernels_amx();
  // Tiles of pictures with blocks of two vectors and one, whole maps of 2 x 2, direct sums; runs of one tile and two,
  // of two lengths, with missing rows; chunks that overlap; pixels in twos; a team of threads; a kernel of several
  // rows.
  for (const Case& c : {Case{40, 32, 2, 8, 8, 3, 3, 2},
                        {17, 18, 1, 6, 7, 3, 3, 2},
                        {40, 16, 2, 2, 2, 3, 3, 3},
                        {33, 34, 1, 1, 1, 3, 3, 2},
                        {9, 6, 2, 5, 4, 5, 3, 2},
                        {5, 66, 1, 3, 3, 3, 3, 2},
                        {16, 40, 1, 4, 4, 3, 3, 2},
                        {37, 4, 2, 1, 9, 1, 3, 2}}) {
    CAPTURE(c.batch, c.group_channels, c.groups, c.height, c.width);
    Oracle oracle;
    const Problem problem = problem_of(c, oracle);
    SeriesSpec spec = exponential(c.degree, c.groups, SeriesSave::iterates);
    spec.products = SeriesProducts::bf16;
    const auto run_on = [&](const cpu::SeriesKernels& kernels, int threads) {
      const cpu::SeriesMachine machine{&kernels, threads, default_host_allocator()};
      Results r{Tensor::empty(problem.x.shape(), DType::f32, Layout::channels_last),
                Tensor::empty(problem.x.shape(), DType::f32, Layout::channels_last),
                {},
                {},
                {}};
      SeriesSaved saved;
      cpu::series_forward(machine, problem.x, problem.k, spec, 1, r.y, &saved);
      r.dk = cpu::series_backward(machine, problem.x, problem.k, spec, saved, problem.dy, &r.dx);
      return r;
    };
    const Results expected = run_on(by_vectors, 1);
    for (const int threads : {1, 2, 3}) {
      const long before = AmxTraps::count();
      const Results r = run_on(by_tiles, threads);
      // Sums in another order, of which a few are rounded to the next bf16 for the next step.
      constexpr double kOrder = 3e-4;
      CHECK(relative_error(r.y, with_dtype(expected.y, DType::f64)) < kOrder);
      CHECK(relative_error(r.dx, with_dtype(expected.dx, DType::f64)) < kOrder);
      CHECK(relative_error(r.dk, with_dtype(expected.dk, DType::f64)) < kOrder);
      if (cpu::series_kernels().reduced != &cpu::reduced_kernels_amx()) CHECK(AmxTraps::count() > before);
    }
  }
}

TEST_CASE("cpu: weights as tiles of AMX need no more memory than as floats", "[cpu][series][amx]") {
  if (cpu::series_kernels().reduced == nullptr) return;  // the code wants the same instructions
  for (int64_t channels = 2; channels <= 2048; channels += 2) {
    cpu::SeriesKernels kernels = cpu::series_kernels_base();
    kernels.reduced = &cpu::reduced_kernels_amx();
    SeriesSpec spec = exponential(2, 1, SeriesSave::input);
    spec.products = SeriesProducts::bf16;
    const cpu::SeriesPlan plan = cpu::plan_series(kernels, {1, channels, 1, 1}, {channels, channels, 1, 1}, spec, 1);
    REQUIRE(plan.weights_before(plan.geometry.runs) <= 2 * plan.weight_floats());
  }
}

}  // namespace gsnet
