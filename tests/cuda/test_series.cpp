// Every form of the CUDA machine's series against the reference machine.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "backend/cuda/loops.h"
#include "cuda/machine.h"
#include "support/op_cases.h"

namespace gsnet {
namespace {

using cuda::SeriesForm;

struct Case {
  int64_t images, channels, groups, height, width, kernel_height, kernel_width;
  int degree;
};

std::vector<Case> cases() {
  return {
      {5, 12, 3, 1, 1, 3, 3, 3},    // one pixel
      {4, 10, 2, 1, 3, 3, 3, 3},    // a row
      {7, 32, 2, 2, 2, 3, 3, 5},    // a map that a kernel covers
      {3, 6, 1, 3, 4, 3, 3, 1},     // one term
      {3, 8, 2, 4, 4, 5, 3, 4},     // kernels of other sides
      {1, 9, 1, 2, 3, 1, 1, 2},     // one image, a matrix
      {3, 20, 1, 5, 6, 3, 3, 3},    // tiles over the map's end and the last channel
      {70, 6, 2, 1, 2, 3, 3, 2},    // many images a team, the last one with fewer
      {2, 3, 1, 48, 48, 3, 3, 2},   // more tiles than threads
      {2, 12, 1, 32, 32, 3, 3, 2},  // a gradient by bands of rows
      {2, 80, 1, 3, 2, 3, 3, 2},    // by blocks of channels
      {1, 64, 1, 2, 5, 5, 5, 2},    // by smaller ones, for there are many taps
  };
}

struct Problem {
  Tensor x, k, dy;
};

Problem problem_of(const Case& c, Backend& reference) {
  const auto input = [&](const Shape& shape, Layout layout, uint64_t seed) {
    return test::make_input(reference, {shape, layout}, seed);
  };
  const Shape map = {c.images, c.channels, c.height, c.width};
  const Shape kernel = {c.channels, c.channels / c.groups, c.kernel_height, c.kernel_width};
  const Tensor w = input(kernel, Layout::row_major, 3);
  Tensor k = reference.empty_like(w);
  reference.skew(w, c.groups, k);
  reference.scale(1 / std::sqrt(static_cast<double>(kernel[1] * kernel[2] * kernel[3])), k, k);
  return {input(map, Layout::channels_last, 1), k, input(map, Layout::channels_last, 2)};
}

struct Results {
  std::vector<double> y, dx, dk, lone_dx, lone_dk;
};

Results run(Backend& on, const Problem& problem, Backend& reference, const SeriesSpec& spec) {
  const auto there = [&](const Tensor& tensor) { return on.upload(reference.download(tensor)); };
  const Tensor x = there(problem.x), k = there(problem.k), dy = there(problem.dy);
  Tensor y = on.empty_like(x), dx = on.empty_like(x), lone_dx = on.empty_like(x), dk, lone_dk;
  SeriesSaved saved;
  on.conv_exp(x, k, spec, y, &saved);
  on.conv_exp_backward(x, k, spec, saved, dy, &dx, &dk);
  on.conv_exp_backward(x, k, spec, saved, dy, &lone_dx, nullptr);
  on.conv_exp_backward(x, k, spec, saved, dy, nullptr, &lone_dk);
  return {test::numbers(on, y), test::numbers(on, dx), test::numbers(on, dk), test::numbers(on, lone_dx),
          test::numbers(on, lone_dk)};
}

void check_agree(const std::vector<double>& p, const std::vector<double>& q) {
  constexpr double kTolerance = 1e-5;  // of the largest
  REQUIRE(p.size() == q.size());
  double largest = 0, difference = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    largest = std::max(largest, std::fabs(q[i]));
    difference = std::max(difference, std::fabs(p[i] - q[i]));
  }
  CHECK(difference <= kTolerance * largest);
}

}  // namespace

TEST_CASE("cuda: every form of the series", "[cuda][parity]") {
  const auto reference = make_backend({"reference", 2});
  for (const SeriesForm form : {SeriesForm::fused, SeriesForm::dense, SeriesForm::terms}) {
    const auto cuda = test::make_cuda(form);
    if (cuda == nullptr) return;
    for (const Case& c : cases()) {
      CAPTURE(cuda::to_string(form), c.images, c.channels, c.groups, c.height, c.width, c.degree);
      const Problem problem = problem_of(c, *reference);
      for (const SeriesSave save : {SeriesSave::iterates, SeriesSave::input}) {
        SeriesSpec spec{.coefficients = {0.9}, .groups = c.groups, .save = save};
        for (int m = 1; m <= c.degree; ++m) spec.coefficients.push_back(spec.coefficients.back() / m);
        const Results fast = run(*cuda, problem, *reference, spec), slow = run(*reference, problem, *reference, spec);
        check_agree(fast.y, slow.y);
        check_agree(fast.dx, slow.dx);
        check_agree(fast.dk, slow.dk);
        check_agree(fast.lone_dx, slow.dx);
        check_agree(fast.lone_dk, slow.dk);
      }
    }
  }
}

TEST_CASE("cuda: quotients by a number known beforehand", "[cuda]") {
  for (const int by : {1, 2, 3, 7, 36, 68, 272, 641, 1000003, 0x40000000, 0x7fffffff}) {
    const cuda::Divisor divisor(by);
    for (const int64_t near : {int64_t{0}, int64_t{by}, int64_t{7} * by, int64_t{0x7fffffff} / by * by}) {
      for (int64_t n = std::max<int64_t>(near - 2, 0); n <= std::min<int64_t>(near + 2, 0x7fffffff); ++n) {
        CAPTURE(by, n);
        CHECK(divisor.quotient(static_cast<int>(n)) == n / by);
        CHECK(divisor.remainder(static_cast<int>(n)) == n % by);
        if (n == 0x7fffffff) break;
      }
    }
  }
}

TEST_CASE("cuda: a series between its ends is the kernels it is made of", "[cuda][series]") {
  struct Ends {
    int64_t images, channels, block, inner, outputs, groups, side;
  };
  // A shuffle, deep channels, more and fewer than there are, nothing at all; a map of few pixels.
  const std::vector<Ends> all = {{3, 12, 1, 12, 12, 2, 6},
                                 {2, 3, 2, 12, 12, 4, 8},
                                 {3, 3, 2, 14, 9, 2, 6},
                                 {2, 8, 1, 8, 8, 1, 5},
                                 {5, 4, 2, 16, 16, 2, 4}};
  for (const SeriesForm form : {SeriesForm::fused, SeriesForm::dense, SeriesForm::terms}) {
    const auto cuda = test::make_cuda(form);
    if (cuda == nullptr) return;
    for (const Ends& e : all) {
      const int64_t deep = e.channels * e.block * e.block;
      const bool plain = e.groups == 1;
      const ChannelMap before =
          plain ? ChannelMap::per_group(deep, e.inner, 1)
                : ChannelMap::shuffle(deep, e.groups, true).then(ChannelMap::per_group(deep, e.inner, e.groups));
      const ChannelMap after = ChannelMap::per_group(e.inner, e.outputs, e.groups);
      const auto input = [&](const Shape& shape, Layout layout, uint64_t seed) {
        return test::make_input(*cuda, {shape, layout}, seed);
      };
      const Tensor x = input({e.images, e.channels, e.side, e.side}, Layout::channels_last, 1);
      const Tensor k = input({e.inner, e.inner / e.groups, 3, 3}, Layout::row_major, 2);
      const Tensor bias = input({e.outputs}, Layout::row_major, 3);
      const SeriesSpec spec{.coefficients = {0.9, 0.1, 0.01}, .groups = e.groups};
      for (const Tensor* added : {&bias, static_cast<const Tensor*>(nullptr)}) {
        CAPTURE(cuda::to_string(form), e.channels, e.inner, e.outputs, e.side, added != nullptr);
        const SeriesEnds ends = {e.block, &before, &after, added};
        const Shape shape = {e.images, e.outputs, e.side / e.block, e.side / e.block};
        Tensor together = cuda->empty(shape, Layout::channels_last), apart = cuda->empty(shape, Layout::channels_last);
        SeriesSaved saved, expected;
        cuda->conv_exp_between(x, k, spec, ends, together, &saved);
        cuda->Backend::conv_exp_between(x, k, spec, ends, apart, &expected);
        CHECK((test::numbers(*cuda, together) == test::numbers(*cuda, apart)));
        CHECK(saved.with_input);
        CHECK((test::numbers(*cuda, saved.tensors[0]) == test::numbers(*cuda, expected.tensors[0])));
        cuda->conv_exp_between(x, k, spec, ends, together, nullptr);
        CHECK((test::numbers(*cuda, together) == test::numbers(*cuda, apart)));
      }
    }
  }
}

}  // namespace gsnet
