// Optimisers, schedules, losses.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "autograd/ops.h"
#include "core/error.h"
#include "core/random.h"
#include "layers/lipconvnet.h"
#include "support/op_cases.h"
#include "train/trainer.h"

namespace gsnet {
namespace {

Tensor noise(int64_t count) {
  Tensor images = Tensor::empty({count, 3, 32, 32}, DType::f32, Layout::channels_last);
  Random random{RandomKey(2)};
  for (float& pixel : images.host<float>()) pixel = static_cast<float>(random.normal());
  return images;
}

}  // namespace

TEST_CASE("schedules move as they say", "[train]") {
  const ScheduleSpec cycle{
      .kind = ScheduleKind::one_cycle, .warmup = 0.2, .initial_fraction = 0.1, .final_fraction = 0};
  CHECK(schedule_factor(cycle, 0, 100) == Approx(0.1));
  CHECK(schedule_factor(cycle, 20, 100) == Approx(1));
  CHECK(schedule_factor(cycle, 100, 100) == Approx(0).margin(1e-12));
  const ScheduleSpec steps{.kind = ScheduleKind::multistep, .milestones = {0.5, 0.75}, .gamma = 0.1};
  CHECK(schedule_factor(steps, 49, 100) == 1);
  CHECK(schedule_factor(steps, 50, 100) == Approx(0.1));
  CHECK(schedule_factor(steps, 75, 100) == Approx(0.01));
  CHECK(schedule_factor({.kind = ScheduleKind::cosine, .final_fraction = 0.5}, 100, 100) == Approx(0.5));
}

TEST_CASE("optimisers take the textbook's steps", "[train]") {
  const auto backend = make_backend({"reference", 1});
  Parameter w{.value = backend->upload(Tensor::of<double>({1}, {1.0}))};
  const auto step = [&](Optimiser& optimiser, double gradient) {
    w.grad = backend->upload(Tensor::of<double>({1}, {gradient}));
    optimiser.step(1);
    return w.value.data<double>()[0];
  };
  Optimiser sgd(*backend, {.rate = 0.1, .momentum = 0.5, .weight_decay = 0.1}, {{"w", &w}});
  CHECK(step(sgd, 2.0) == Approx(1 - 0.1 * 2.1));
  const double now = 0.79, velocity = 0.5 * 2.1 + 1 + 0.1 * now;
  CHECK(step(sgd, 1.0) == Approx(now - 0.1 * velocity));
  w.value = backend->upload(Tensor::of<double>({1}, {1.0}));
  Optimiser adamw(*backend, {.kind = OptimiserKind::adamw, .rate = 0.1, .weight_decay = 0.1}, {{"w", &w}});
  CHECK(step(adamw, 3.0) == Approx(0.99 - 0.1).epsilon(1e-6));
}

TEST_CASE("certificate regularisation counts positive margins only", "[train]") {
  const auto backend = make_backend({"reference", 1});
  const Tensor labels = Tensor::of<int32_t>({2}, {0, 1});
  Tape tape(*backend, {});
  const Var z = tape.input(backend->upload(Tensor::of<double>({2, 2}, {3, 1, 2, 1})));
  const auto value = [&](const LossSpec& spec) {
    return test::numbers(*backend, training_loss(z, labels, spec).value)[0];
  };
  CHECK(value({}) - value({.certificate_weight = 1}) == Approx(0.5 * 2 / std::sqrt(2.0)));
}

TEST_CASE("training in bf16 goes as in f32, where the machine has it", "[train]") {
  const Attributes settings = {{"width", int64_t{16}}, {"groups2", int64_t{4}}};
  const auto losses = [&](Backend& backend, Precision precision) {
    Graph graph(lipconvnet(settings, {3, 32, 32}, 10), backend, RandomKey(1));
    Trainer trainer(graph, {.optimiser = {.rate = 0.02}, .steps = 8, .precision = precision});
    std::vector<double> made;
    for (int step = 0; step < 8; ++step) {
      made.push_back(trainer.step(noise(32), Tensor::of<int32_t>({32}, std::vector<int32_t>(32, 3))).loss);
    }
    return made;
  };
  const auto reference = make_backend({"reference", 1});
  CHECK_THROWS_WITH(losses(*reference, Precision::bf16), Catch::Contains("bf16") && Catch::Contains("reference"));
  const auto cpu = make_backend({"cpu", 2});
  CHECK_THROWS_WITH(losses(*cpu, Precision::tf32), Catch::Contains("tf32") && Catch::Contains("tensor cores"));
  if (!cpu->multiplies(Precision::bf16)) {
    CHECK_THROWS_WITH(losses(*cpu, Precision::bf16), Catch::Contains("AVX512-BF16"));
    WARN("skipped: the processor has no AVX512-BF16");
    return;
  }
  const std::vector<double> whole = losses(*cpu, Precision::f32), rounded = losses(*cpu, Precision::bf16);
  CHECK(whole.back() < 0.9 * whole.front());
  CHECK(whole.back() != rounded.back());
  for (size_t i = 0; i < whole.size(); ++i) CHECK(rounded[i] == Approx(whole[i]).epsilon(0.02));
}

TEST_CASE("training stops with the step and the layer where numbers stop being finite", "[train]") {
  const auto backend = make_backend({"cpu", 1});
  Graph graph(lipconvnet({{"width", int64_t{4}}, {"groups", int64_t{2}}}, {3, 32, 32}, 10), *backend, RandomKey(1));
  Trainer trainer(graph, {.optimiser = {.rate = 0.1}, .steps = 10});
  Tensor images = Tensor::empty({2, 3, 32, 32}, DType::f32, Layout::channels_last);
  for (float& pixel : images.host<float>()) pixel = NAN;
  const Tensor labels = Tensor::of<int32_t>({2}, {0, 1});
  CHECK_THROWS_WITH(trainer.step(images, labels), Catch::Contains("step 1") && Catch::Contains("level1.conv0"));
}

TEST_CASE("parameters are updated during the backward pass as after it", "[train]") {
  const auto early = make_backend({"cpu", 1}), late = make_backend({"cpu", 1});
  const Description network = lipconvnet({{"width", int64_t{8}}, {"groups", int64_t{1}}}, {3, 32, 32}, 10);
  const Tensor images = noise(1);
  const Tensor labels = Tensor::of<int32_t>({1}, {0});
  for (const OptimiserKind kind : {OptimiserKind::sgd, OptimiserKind::adamw}) {
    const TrainSpec spec{.optimiser = {.kind = kind, .rate = 0.01}, .steps = 10};
    Graph one(network, *early, RandomKey(1)), other(network, *late, RandomKey(1));
    Trainer trainer(one, spec);
    ClassifierObjective objective(spec.loss);
    Optimiser optimiser(*late, spec.optimiser, parameters_of(other, objective));
    for (int step = 0; step < 3; ++step) {
      trainer.step(images, labels);
      Tape tape(*late, {.record = true, .training = true});
      tape.backward(objective.evaluate(tape, other.forward(tape, tape.input(images)), {*late, labels}).loss);
      optimiser.step(schedule_factor(spec.schedule, step, spec.steps));
    }
    const auto a = parameters_of(one), b = parameters_of(other);
    for (size_t i = 0; i < a.size(); ++i) {
      CAPTURE(a[i].name);
      CHECK(!a[i].parameter->grad);
      CHECK(std::ranges::equal(a[i].parameter->value.host<float>(), b[i].parameter->value.host<float>()));
    }
  }
  CHECK(early->memory()->stats().peak_bytes < late->memory()->stats().peak_bytes);
}

TEST_CASE("what is made again in the backward pass gives the same step for less memory", "[train]") {
  const Tensor images = noise(4);
  const Tensor labels = Tensor::of<int32_t>({4}, {0, 1, 2, 3});
  for (const char* scale : {"gram", "stretch", "four_forms"}) {
    std::vector<std::vector<float>> kernels;
    std::vector<int64_t> peaks;
    for (const char* save : {"iterates", "input"}) {
      const auto backend = make_backend({"cpu", 1});
      const Attributes settings = {{"width", int64_t{8}},
                                   {"groups", int64_t{2}},
                                   {"groups2", int64_t{2}},
                                   {"scale", std::string(scale)},
                                   {"save", std::string(save)}};
      Graph graph(lipconvnet(settings, {3, 32, 32}, 10), *backend, RandomKey(1));
      Trainer trainer(graph, {.optimiser = {.rate = 0.1}, .steps = 10});
      for (int step = 0; step < 2; ++step) trainer.step(images, labels);
      peaks.push_back(backend->memory()->stats().peak_bytes);
      kernels.emplace_back();
      for (const NamedParameter& named : parameters_of(graph)) {
        const auto values = named.parameter->value.host<float>();
        kernels.back().insert(kernels.back().end(), values.begin(), values.end());
      }
    }
    CAPTURE(scale);
    const bool same = kernels[0] == kernels[1];  // not written out number by number
    CHECK(same);
    CHECK(peaks[1] < peaks[0]);
  }
}

namespace {

std::vector<float> numbers_of(Graph& graph) {
  std::vector<float> all;
  for (const NamedParameter& named : parameters_of(graph)) {
    const auto numbers = named.parameter->value.host<float>();
    all.insert(all.end(), numbers.begin(), numbers.end());
  }
  return all;
}

float most_apart(const std::vector<float>& a, const std::vector<float>& b) {
  float most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::fabs(a[i] - b[i]) <= most ? most : std::fabs(a[i] - b[i]);
  return most;
}

Description with_saved(const char* scale, const char* save) {
  return lipconvnet({{"depth", int64_t{15}},
                     {"width", int64_t{8}},
                     {"groups", int64_t{2}},
                     {"scale", std::string(scale)},
                     {"save", std::string(save)}},
                    {3, 32, 32}, 10);
}

}  // namespace

TEST_CASE("steps that make inputs again are steps, large ones too", "[train]") {
  const auto backend = make_backend({"cpu", 2});
  const Tensor images = noise(16);
  const Tensor labels = Tensor::of<int32_t>({16}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5});
  for (const char* scale : {"gram", "stretch", "four_forms"}) {
    for (const double rate : {0.1, 1.0, 10.0}) {
      Graph kept(with_saved(scale, "iterates"), *backend, RandomKey(1));
      Graph made(with_saved(scale, "output"), *backend, RandomKey(1));
      const TrainSpec spec{
          .optimiser = {.rate = rate, .momentum = 0}, .schedule = {.kind = ScheduleKind::constant}, .steps = 20};
      Trainer one(kept, spec), other(made, spec);
      const auto from = one.state(), to = other.state();
      float most = 0;
      for (int step = 0; step < 10; ++step) {
        for (size_t i = 0; i < from.size(); ++i) backend->copy(*from[i].tensor, *to[i].tensor);
        other.state_assigned();
        const std::vector<float> before = numbers_of(kept);
        one.step(images, labels);
        other.step(images, labels);
        const float apart = most_apart(numbers_of(made), numbers_of(kept)) / most_apart(before, numbers_of(kept));
        most = apart <= most ? most : apart;
      }
      CAPTURE(scale, rate);
      CHECK(most < 1e-4F);
    }
  }
}

TEST_CASE("a kernel whose norm has moved far is noticed before anything is wrong", "[train]") {
  const auto backend = make_backend({"cpu", 2});
  for (const char* scale : {"gram", "stretch", "four_forms"}) {
    Graph graph(with_saved(scale, "output"), *backend, RandomKey(1));
    const auto holds = [&](TapeMode mode) {
      Tape tape(*backend, mode);
      const Var y = graph.forward(tape, tape.input(noise(2)));
      if (!tape.holds()) CHECK_THROWS_WITH(tape.backward(ops::sum(y)), Catch::Contains("moved so far"));
      return tape.holds();
    };
    CAPTURE(scale);
    CHECK(holds({.record = true, .training = true}));
    Graph others(with_saved(scale, "output"), *backend, RandomKey(7));
    const auto here = parameters_of(graph), there = parameters_of(others);
    for (size_t i = 0; i < here.size(); ++i) {
      backend->copy(there[i].parameter->value, here[i].parameter->value);
      here[i].parameter->changed();
    }
    CHECK(holds({.record = true, .training = true, .keep_inputs = true}));
    CHECK(holds({.record = true, .training = true}) == (std::string(scale) == "gram"));
  }
}

}  // namespace gsnet
