// Heads: margins against closed forms, gradients of both conventions, AdaFace's statistics, draws of Partial FC.
#include "faces/head.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <numbers>

#include "core/error.h"
#include "support/op_cases.h"
#include "tests/faces/differences.h"
#include "train/trainer.h"

namespace gsnet {
namespace {

using test::numbers;

Parameter& weight_of(FaceHead& head) {
  return *parameters_of([&](Visitor& visitor) { head.visit(visitor); }).at(0).parameter;
}

std::vector<double> state_of_head(Backend& backend, FaceHead& head) {
  std::vector<double> all;
  for (const NamedTensor& named : state_of([&](Visitor& visitor) { head.visit(visitor); })) {
    const auto values = numbers(backend, *named.tensor);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

/// Two centres at right angles; an embedding at `theta` from the first, of length 3.
struct Plane {
  std::unique_ptr<Backend> backend = make_backend({"reference", 1});

  double loss(const HeadSpec& spec, double theta, double length = 3) {
    FaceHead head(*backend, 2, 2, spec, RandomKey(1));
    weight_of(head).value = backend->upload(Tensor::of<double>({2, 2}, {2, 0, 0, 5}));
    Tape tape(*backend, {});
    const Var x =
        tape.input(backend->upload(Tensor::of<double>({1, 2}, {length * std::cos(theta), length * std::sin(theta)})));
    const auto value = head.evaluate(tape, x, {*backend, Tensor::of<int32_t>({1}, {0})});
    CHECK(numbers(*backend, value.scores)[0] == Approx(std::cos(theta)));
    return numbers(*backend, value.loss.value)[0];
  }

  /// The loss when the true cosine has become `phi` and the other is sin(theta).
  static double expected(double scale, double phi, double theta) {
    return std::log1p(std::exp(scale * (std::sin(theta) - phi)));
  }
};

Tensor random_embeddings(Backend& backend, int64_t rows, int64_t columns, uint64_t seed) {
  return test::make_input(backend, {{rows, columns}}, seed);
}

}  // namespace

TEST_CASE("margins are those of the papers", "[faces][head]") {
  Plane plane;
  for (const double theta : {0.3, 1.2, 2.0}) {
    HeadSpec spec = HeadSpec::arcface(0.5);
    spec.scale = 7;
    CHECK(plane.loss(spec, theta) == Approx(Plane::expected(7, std::cos(theta + 0.5), theta)));
    spec.easy_margin = true;
    const double easy = std::cos(theta) > 0 ? std::cos(theta + 0.5) : std::cos(theta);
    CHECK(plane.loss(spec, theta) == Approx(Plane::expected(7, easy, theta)));
    HeadSpec cosface = HeadSpec::cosface(0.35);
    cosface.scale = 7;
    CHECK(plane.loss(cosface, theta) == Approx(Plane::expected(7, std::cos(theta) - 0.35, theta)));
    HeadSpec combined{.scale = 7, .multiply = 1.1, .angle = 0.2, .cosine = 0.1};
    CHECK(plane.loss(combined, theta) == Approx(Plane::expected(7, std::cos(1.1 * theta + 0.2) - 0.1, theta)));
  }
}

TEST_CASE("a margin beyond pi goes on falling", "[faces][head]") {
  Plane plane;
  HeadSpec spec = HeadSpec::arcface(0.5);
  spec.scale = 2;
  const double theta = 2.9;  // 2.9 + 0.5 > pi: -cos(3.4) - 2
  CHECK(plane.loss(spec, theta) == Approx(Plane::expected(2, -std::cos(3.4) - 2, theta)));
  const auto phi = [&](double t) {  // from the loss back to the true cosine
    return std::sin(t) - std::log(std::expm1(plane.loss(spec, t))) / 2;
  };
  for (double t = 2.0; t < 3.1; t += 0.05) CHECK(phi(t + 0.05) < phi(t));
}

TEST_CASE("a head's gradients agree with differences, in double", "[faces][head][gradient]") {
  const auto backend = make_backend({"reference", 1});
  const Tensor labels = Tensor::of<int32_t>({3}, {1, 4, 1});
  HeadSpec spec{.scale = 5, .multiply = 1.1, .angle = 0.3, .cosine = 0.1};
  FaceHead head(*backend, 4, 5, spec, RandomKey(2));
  Parameter& weight = weight_of(head);
  Tensor x = random_embeddings(*backend, 3, 4, 9);
  const auto loss_at = [&] {
    Tape tape(*backend, {});
    return numbers(*backend, head.evaluate(tape, tape.input(x), {*backend, labels}).loss.value)[0];
  };
  Tape tape(*backend, {.record = true});
  const Var leaf = tape.input(x, true);
  tape.backward(head.evaluate(tape, leaf, {*backend, labels}).loss);
  test::check_differences(x, numbers(*backend, tape.grad(leaf)), loss_at, 1e-5, 1e-6);
  test::check_differences(weight.value, numbers(*backend, weight.grad), loss_at, 1e-5, 1e-6);
}

TEST_CASE("insightface's gradient is the softmax's alone", "[faces][head][gradient]") {
  const auto backend = make_backend({"reference", 1});
  const Tensor labels = Tensor::of<int32_t>({1}, {0});
  const Tensor cosines = backend->upload(Tensor::of<double>({1, 2}, {0.6, 0.1}));
  const Tensor raise = backend->upload(Tensor::of<double>({1}, {0.5}));
  const Tensor lower = backend->upload(Tensor::of<double>({1}, {0.0}));
  const double phi = std::cos(std::acos(0.6) + 0.5), p = 1 / (1 + std::exp(4 * (0.1 - phi)));
  const auto gradient = [&](bool plain) {
    Tape tape(*backend, {.record = true});
    const Var z = tape.input(cosines, true);
    tape.backward(ops::sum(ops::margin_softmax(z, labels, raise, lower, {.scale = 4, .plain_gradient = plain})));
    return numbers(*backend, tape.grad(z));
  };
  CHECK(gradient(true)[0] == Approx(4 * (p - 1)));
  CHECK(gradient(true)[1] == Approx(4 * (1 - p)));
  CHECK(gradient(false)[0] == Approx(4 * (p - 1) * std::sin(std::acos(0.6) + 0.5) / 0.8));
  CHECK(gradient(false)[1] == Approx(4 * (1 - p)));
}

TEST_CASE("AdaFace's margins follow the norms", "[faces][head]") {
  const auto backend = make_backend({"reference", 1});
  HeadSpec spec = HeadSpec::adaface({.margin = 0.4, .concentration = 0.333, .momentum = 0.25});
  spec.scale = 3;
  FaceHead head(*backend, 2, 2, spec, RandomKey(1));
  weight_of(head).value = backend->upload(Tensor::of<double>({2, 2}, {1, 0, 0, 1}));
  const Tensor x = backend->upload(Tensor::of<double>({2, 2}, {3, 4, 0, 9}));  // norms 5 and 9
  const Tensor labels = Tensor::of<int32_t>({2}, {0, 1});
  const double mean = 0.75 * 20 + 0.25 * 7, stddev = 0.75 * 100 + 0.25 * std::sqrt(8.0);
  Tape tape(*backend, {.record = true, .training = true});
  const double loss = numbers(*backend, head.evaluate(tape, tape.input(x), {*backend, labels}).loss.value)[0];
  const auto kept = state_of_head(*backend, head);
  REQUIRE(kept.size() == 7);
  CHECK(kept[4] == 1);
  CHECK(kept[5] == Approx(mean));
  CHECK(kept[6] == Approx(stddev));
  const auto term = [&](double norm, double theta) {
    const double z = (norm - mean) / (stddev + 1e-3) * 0.333;
    const double phi = std::cos(std::max(theta - 0.4 * z, 0.0)) - 0.4 * (1 + z);
    return std::log1p(std::exp(3 * (std::sin(theta) - phi)));
  };
  CHECK(loss == Approx((term(5, std::acos(0.6)) + term(9, 0)) / 2));
  Tape evaluation(*backend, {});
  head.evaluate(evaluation, evaluation.input(x), {*backend, labels});
  CHECK(state_of_head(*backend, head) == kept);
}

TEST_CASE("Partial FC draws the batch's classes and others", "[faces][head]") {
  const std::vector<int32_t> labels = {7, 3, 7, 99};
  const auto drawn = draw_centres(labels, 100, 0.2, RandomKey(5).with(3));
  CHECK(drawn.size() == 20);
  CHECK(std::ranges::is_sorted(drawn));
  for (const int32_t label : labels) CHECK(std::ranges::binary_search(drawn, label));
  CHECK(draw_centres(labels, 100, 0.2, RandomKey(5).with(3)) == drawn);
  CHECK(draw_centres(labels, 100, 0.2, RandomKey(5).with(4)) != drawn);
  CHECK(draw_centres(labels, 100, 0.01, RandomKey(5)) == std::vector<int32_t>{3, 7, 99});
  CHECK(draw_centres(labels, 100, 1, RandomKey(5)).size() == 100);
  std::map<int32_t, int> counts;
  constexpr int kRounds = 4000;
  for (uint64_t i = 0; i < kRounds; ++i) {
    for (const int32_t c : draw_centres(labels, 100, 0.2, RandomKey(5).with(i))) ++counts[c];
  }
  for (int32_t c = 0; c < 100; ++c) {  // 17 of 97 others: 701 times, deviation 24
    const bool positive = c == 3 || c == 7 || c == 99;
    CHECK(std::abs(counts[c] - (positive ? kRounds : kRounds * 17.0 / 97)) < 120);
  }
}

TEST_CASE("Partial FC of all centres is the full head; of some, only those move", "[faces][head]") {
  const auto backend = make_backend({"reference", 1});
  const Tensor x = random_embeddings(*backend, 3, 4, 1), labels = Tensor::of<int32_t>({3}, {6, 0, 6});
  const auto run = [&](double rate) {
    HeadSpec spec = HeadSpec::arcface();
    spec.sample_rate = rate;
    FaceHead head(*backend, 4, 8, spec, RandomKey(3));
    Tape tape(*backend, {.record = true, .training = true});
    const Var leaf = tape.input(x, true);
    const auto value = head.evaluate(tape, leaf, {*backend, labels});
    tape.backward(value.loss);
    return std::tuple(numbers(*backend, value.loss.value), numbers(*backend, tape.grad(leaf)),
                      numbers(*backend, weight_of(head).grad), value.scores.shape()[1]);
  };
  CHECK(run(1) == run(0.99));  // rounds to all eight, but is gathered
  const auto [loss, dx, dw, columns] = run(0.5);
  CHECK(columns == 4);
  int64_t moving = 0;
  for (size_t c = 0; c < 8; ++c) {
    const auto row = std::span(dw).subspan(4 * c, 4);
    moving += std::ranges::any_of(row, [](double g) { return g != 0; }) ? 1 : 0;
  }
  CHECK(moving == 4);
}

TEST_CASE("a head trains a network, and goes on from its state as if it had not stopped", "[faces][head]") {
  const auto backend = make_backend({"cpu", 1});
  const Description network{{6}, {{"fc", "linear", {}, {{"features", int64_t{4}}}}}};
  HeadSpec spec = HeadSpec::adaface();
  spec.scale = 8;
  spec.sample_rate = 0.6;
  const TrainSpec training{.optimiser = {.rate = 0.2}, .schedule = {.kind = ScheduleKind::constant}, .steps = 60};
  // Three classes around their own directions, seven that never occur.
  const auto batch = [](uint64_t step) {
    Random random(RandomKey(11).with(step));
    Tensor x = Tensor::empty({12, 6}, DType::f32), y = Tensor::empty({12}, DType::i32);
    for (int64_t n = 0; n < 12; ++n) {
      y.data<int32_t>()[n] = static_cast<int32_t>(n % 3);
      for (int64_t i = 0; i < 6; ++i) {
        x.data<float>()[n * 6 + i] = static_cast<float>((i == n % 3 ? 2 : 0) + 0.3 * random.normal());
      }
    }
    return std::pair(x, y);
  };
  const auto make = [&] { return std::make_shared<FaceHead>(*backend, 4, 10, spec, RandomKey(2)); };
  Graph graph(network, *backend, RandomKey(1));
  const auto head = make();
  Trainer trainer(graph, training, head);
  std::vector<double> losses;
  for (uint64_t step = 0; step < 60; ++step) losses.push_back(trainer.step(batch(step).first, batch(step).second).loss);
  CHECK(losses.back() < losses.front() / 2);

  // The first 30 again, then another network and head with their state.
  Graph early(network, *backend, RandomKey(1)), late(network, *backend, RandomKey(77));
  const auto first = make(), second = make();
  Trainer before(early, training, first);
  for (uint64_t step = 0; step < 30; ++step) before.step(batch(step).first, batch(step).second);
  Trainer after(late, training, second);
  const auto from = state_of(early, *first), to = state_of(late, *second);
  for (size_t i = 0; i < from.size(); ++i) *to[i].tensor = backend->upload(backend->download(*from[i].tensor));
  const auto moments = before.optimiser().state(), others = after.optimiser().state();
  for (size_t i = 0; i < moments.size(); ++i)
    *others[i].tensor = backend->upload(backend->download(*moments[i].tensor));
  after.optimiser().set_steps(30);
  state_changed(late);
  for (uint64_t step = 30; step < 60; ++step) {
    CHECK(after.step(batch(step).first, batch(step).second).loss == losses[step]);
  }
}

TEST_CASE("centres are given, stay where they are to stay, and move by their own rate", "[faces][head]") {
  const auto backend = make_backend({"cpu", 1});
  const Description network{{4}, {{"fc", "linear", {}, {{"features", int64_t{2}}}}}};
  const Tensor centres = Tensor::of<double>({3, 2}, {1, 0, 0, 1, -1, 0});
  Tensor x = Tensor::empty({6, 4}, DType::f32), y = Tensor::empty({6}, DType::i32);
  Random random(RandomKey(4));
  for (float& value : x.host<float>()) value = static_cast<float>(random.normal());
  for (int64_t n = 0; n < 6; ++n) y.data<int32_t>()[n] = static_cast<int32_t>(n % 3);
  const auto moved = [&](bool train, double factor) {
    Graph graph(network, *backend, RandomKey(1));
    const auto head = std::make_shared<FaceHead>(*backend, 2, 3, HeadSpec{}, RandomKey(2));
    head->set_centres(centres);
    head->train_centres(train);
    const TrainSpec training{.optimiser = {.kind = OptimiserKind::adamw, .rate = 0.01, .kernel_rate_factor = factor},
                             .schedule = {.kind = ScheduleKind::constant},
                             .steps = 1};
    Trainer(graph, training, head).step(x, y);
    double largest = 0;
    const auto now = numbers(*backend, weight_of(*head).value);
    for (size_t i = 0; i < now.size(); ++i) largest = std::max(largest, std::abs(now[i] - centres.data<double>()[i]));
    return largest;
  };
  CHECK(moved(false, 1) == 0);
  CHECK(moved(true, 1) == Approx(0.01).epsilon(0.01));
  CHECK(moved(true, 0.1) == Approx(0.001).epsilon(0.01));
  FaceHead head(*backend, 2, 3, {}, RandomKey(2));
  CHECK_THROWS_WITH(head.set_centres(Tensor::of<double>({2, 2}, {1, 0, 0, 1})), Catch::Contains("expected (3, 2)"));
  CHECK_THROWS_WITH(head.set_centres(Tensor::of<double>({3, 2}, {1, 0, 0, 0, 1, 1})), Catch::Contains("centre 1"));
  CHECK_THROWS_WITH(head.set_centres(Tensor::of<double>({3, 2}, {1, 0, 0, 1, NAN, 1})), Catch::Contains("centre 2"));
}

TEST_CASE("a head refuses what cannot be", "[faces][head]") {
  const auto backend = make_backend({"cpu", 1});
  const auto make = [&](const HeadSpec& spec) { FaceHead(*backend, 4, 8, spec, RandomKey(1)); };
  CHECK_THROWS_WITH(make({.scale = 0}), Catch::Contains("scale"));
  CHECK_THROWS_WITH(make({.multiply = 0.5}), Catch::Contains("factor"));
  CHECK_THROWS_WITH(make({.sample_rate = 0}), Catch::Contains("share of centres"));
  CHECK_THROWS_WITH(make({.angle = 0.5, .adaptive = AdaptiveMargin{}}), Catch::Contains("adaptive"));
  FaceHead head(*backend, 4, 8, {}, RandomKey(1));
  Tape tape(*backend, {});
  const Var x = tape.input(random_embeddings(*backend, 2, 4, 1));
  CHECK_THROWS_WITH(head.evaluate(tape, x, {*backend, Tensor::of<int32_t>({2}, {0, 8})}), Catch::Contains("label 8"));
  CHECK_THROWS_WITH(head.evaluate(tape, x, {*backend, Tensor::of<int32_t>({3}, {0, 1, 2})}),
                    Catch::Contains("embeddings"));
}

}  // namespace gsnet
