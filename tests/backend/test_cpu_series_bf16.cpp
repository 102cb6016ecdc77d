// The cpu machine's series with products of bf16, by vectors and by the tiles of AMX.
#include <catch2/catch.hpp>

#include "support/amx_traps.h"
#include "support/cpu_series.h"

namespace gsnet {

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
      r.dk = backward_of(machine, problem, spec, saved, &r.dx);
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
