// Optimisers, schedules, losses.
#include <catch2/catch.hpp>
#include <cmath>

#include "core/error.h"
#include "layers/lipconvnet.h"
#include "support/op_cases.h"
#include "train/trainer.h"

namespace gsnet {

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

TEST_CASE("training stops with the step and the layer where numbers stop being finite", "[train]") {
  const auto backend = make_backend({"cpu", 1});
  Graph graph(lipconvnet({{"width", int64_t{4}}, {"groups", int64_t{2}}}, {3, 32, 32}, 10), *backend, RandomKey(1));
  Trainer trainer(graph, {.optimiser = {.rate = 0.1}, .steps = 10});
  Tensor images = Tensor::empty({2, 3, 32, 32}, DType::f32, Layout::channels_last);
  for (float& pixel : images.host<float>()) pixel = NAN;
  const Tensor labels = Tensor::of<int32_t>({2}, {0, 1});
  CHECK_THROWS_WITH(trainer.step(images, labels), Catch::Contains("step 1") && Catch::Contains("level1.conv0"));
}

}  // namespace gsnet
