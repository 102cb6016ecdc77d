// The cpu machine's series together with what a layer does around it, against the same kernels one after the other.
#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "support/cpu_series.h"

namespace gsnet {

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

TEST_CASE("cpu: the gradients of a series between its ends are those of its parts", "[cpu][series]") {
  struct Between {
    int64_t images, channels, side, block, inner, outputs, groups;
  };
  // Groups in turn, and arrays of all blocks (blocks that the threads do not share evenly; large kernels); a team of
  // threads; one group; a last block of fewer images; channels without a place on either side.
  for (const Between& c : {Between{64, 16, 8, 1, 16, 16, 2},
                           {37, 3, 16, 2, 16, 16, 4},
                           {40, 9, 6, 1, 24, 11, 3},
                           {64, 8, 8, 2, 128, 16, 2},
                           {5, 6, 4, 1, 6, 6, 1},
                           {70, 5, 8, 2, 40, 24, 1},
                           {96, 8, 8, 1, 8, 8, 2},
                           {33, 20, 4, 2, 72, 80, 4}}) {
    const ChannelMap before = ChannelMap::shuffle(c.channels * c.block * c.block, c.groups, true)
                                  .then(ChannelMap::per_group(c.channels * c.block * c.block, c.inner, c.groups));
    const ChannelMap after = ChannelMap::per_group(c.inner, c.outputs, c.groups);
    const SeriesEnds ends = {c.block, &before, &after, nullptr};
    const Tensor x = random_tensor({c.images, c.channels, c.side, c.side}, 1, 1, Layout::channels_last);
    const Tensor dy =
        random_tensor({c.images, c.outputs, c.side / c.block, c.side / c.block}, 2, 1, Layout::channels_last);
    Oracle oracle;
    Tensor skew = oracle.empty({c.inner, c.inner / c.groups, 3, 3});
    oracle.skew(oracle.upload(random_tensor(skew.shape(), 3, 0.1)), c.groups, skew);
    const Tensor k = with_dtype(skew, DType::f32);
    for (const int threads : {1, 2, 3}) {
      const auto cpu = make_cpu_backend(threads);
      for (const SeriesSave save : {SeriesSave::iterates, SeriesSave::input}) {
        for (const SeriesProducts products : {SeriesProducts::direct, SeriesProducts::fast, SeriesProducts::bf16}) {
          const int degree = products == SeriesProducts::direct ? 1 : 3;
          INFO(c.images << " images of " << c.channels << " channels, " << threads << " threads, degree " << degree);
          SeriesSpec spec = exponential(degree, c.groups, save);
          spec.products = products;
          Tensor y = cpu->empty(dy.shape(), Layout::channels_last);
          SeriesSaved saved;
          cpu->conv_exp_between(x, k, spec, ends, y, &saved);
          Tensor dx, dk, dx_apart, dk_apart, dx_alone, dk_alone;
          cpu->conv_exp_between_backward(x, k, spec, ends, saved, dy, &dx, &dk);
          cpu->Backend::conv_exp_between_backward(x, k, spec, ends, saved, dy, &dx_apart, &dk_apart);
          CHECK(same_bits(dx, dx_apart));
          CHECK(relative_error(dk, with_dtype(dk_apart, DType::f64)) < kTolerance);
          cpu->conv_exp_between_backward(x, k, spec, ends, saved, dy, nullptr, &dk_alone);
          CHECK(same_bits(dk_alone, dk));
          cpu->conv_exp_between_backward(Tensor(), k, spec, ends, saved, dy, &dx_alone, nullptr);
          cpu->Backend::conv_exp_between_backward(Tensor(), k, spec, ends, saved, dy, &dx_apart, nullptr);
          CHECK(same_bits(dx_alone, dx_apart));
          if (products != SeriesProducts::bf16) {
            CHECK(relative_error(dx_alone, with_dtype(dx, DType::f64)) < kTolerance);
          }
        }
      }
    }
  }
}

TEST_CASE("cpu: an empty batch of a series between its ends", "[cpu][series]") {
  const auto cpu = make_cpu_backend(2);
  const ChannelMap before = ChannelMap::head(12, 16), after = ChannelMap::head(16, 9);
  const SeriesEnds ends = {2, &before, &after, nullptr};
  const Tensor x = random_tensor({0, 3, 8, 8}, 1, 1, Layout::channels_last),
               dy = random_tensor({0, 9, 4, 4}, 2, 1, Layout::channels_last), k = random_tensor({16, 8, 3, 3}, 3, 0.1);
  Tensor dx, dk;
  cpu->conv_exp_between_backward(x, k, exponential(3, 2, SeriesSave::input), ends, {}, dy, &dx, &dk);
  CHECK(dx.shape() == x.shape());
  REQUIRE(dk.shape() == k.shape());
  CHECK(std::ranges::all_of(dk.host<float>(), [](float value) { return value == 0; }));
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
  const Tensor dy = random_tensor(expected.shape(), 4, 1, Layout::channels_last);
  Tensor expected_dx, expected_dk;
  cpu->Backend::conv_exp_between_backward(x, k, spec, ends, {}, dy, &expected_dx, &expected_dk);
  for (const cpu::SeriesKernels* kernels : sets) {
    for (const int threads : {1, 2}) {
      INFO(kernels->name << ", " << threads << " threads");
      const Tensor y = Tensor::empty(expected.shape(), DType::f32, Layout::channels_last);
      const cpu::SeriesMachine machine{kernels, threads, default_host_allocator()};
      REQUIRE((cpu::series_between(machine, x, k, spec, ends, y, nullptr) || threads > 1));
      if (threads == 1) CHECK(relative_error(y, with_dtype(expected, DType::f64)) < kTolerance);
      Tensor dx;
      const Tensor dk = cpu::series_backward(machine, x, k, spec, ends, {}, dy, &dx);
      CHECK(relative_error(dx, with_dtype(expected_dx, DType::f64)) < kTolerance);
      CHECK(relative_error(dk, with_dtype(expected_dk, DType::f64)) < kTolerance);
    }
  }
}

}  // namespace gsnet
