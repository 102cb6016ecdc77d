// LoRA-Pro: its steps are the nearest that a pair can take to the whole weight's gradient.
#include <Eigen/Dense>
#include <catch2/catch.hpp>
#include <cmath>

#include "adapters/adapter_cases.h"
#include "core/error.h"
#include "train/optimiser.h"
#include "train/trainer.h"

namespace gsnet {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Matrix random(int64_t rows, int64_t columns, uint64_t seed) {
  Random numbers{RandomKey(seed)};
  Matrix made(rows, columns);
  for (double& value : made.reshaped()) value = numbers.normal();
  return made;
}

Tensor tensor_of(const Matrix& x) {
  return Tensor::of<double>({x.rows(), x.cols()}, std::span<const double>(x.data(), static_cast<size_t>(x.size())));
}

Matrix matrix_of(const Tensor& x) {
  return Eigen::Map<const Matrix>(x.data<double>(), x.shape()[0], x.numel() / x.shape()[0]);
}

struct Case {
  Matrix a, b, g;
  double s;

  PairGradients plain() const { return {tensor_of(s * b.transpose() * g), tensor_of(s * g * a.transpose())}; }
  PairGradients steps() const { return lora_pro_gradients(tensor_of(a), tensor_of(b), plain(), s); }
  Matrix moved(const PairGradients& steps) const {
    return matrix_of(equivalent_gradient(tensor_of(a), tensor_of(b), steps, s));
  }
};

}  // namespace

TEST_CASE("LoRA-Pro's step is the nearest of all to the gradient", "[lora_pro]") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const int64_t r = 1 + static_cast<int64_t>(seed) % 4, m = r + static_cast<int64_t>(seed) % 3, n = 9;
    const Case one{random(r, n, 10 + seed), random(m, r, 40 + seed), random(m, n, 70 + seed),
                   0.25 + 0.5 * double(seed)};
    const PairGradients steps = one.steps();
    const double least = (one.moved(steps) - one.g).norm();
    CHECK(least <= (one.moved(one.plain()) - one.g).norm() + 1e-12);
    // Not plain LoRA's at any rate either, nor a step a little off in any direction.
    for (uint64_t t = 0; t < 20; ++t) {
      Case at = one;
      const double rate = std::pow(10.0, -3 + 0.25 * static_cast<double>(t));
      CHECK(least <= (rate * at.moved(at.plain()) - one.g).norm() + 1e-12);
      const PairGradients other{tensor_of(matrix_of(steps.a) + 0.1 * random(r, n, 900 + t)),
                                tensor_of(matrix_of(steps.b) + 0.1 * random(m, r, 950 + t))};
      CHECK(least <= (one.moved(other) - one.g).norm() + 1e-12);
    }
  }
}

TEST_CASE("the Sylvester equation holds, and what solves it moves no weight", "[lora_pro]") {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Case one{random(4, 11, seed), random(7, 4, 30 + seed), random(7, 11, 60 + seed), 2};
    const Matrix p = one.b.transpose() * one.b, q = one.a * one.a.transpose(), c = random(4, 4, 90 + seed);
    const Matrix x = matrix_of(solve_sylvester(tensor_of(p), tensor_of(q), tensor_of(c)));
    CHECK((p * x + x * q - c).cwiseAbs().maxCoeff() < 1e-10);
    // Any X gives the same step of the weight; the one taken is the nearest to plain LoRA's.
    const PairGradients steps = one.steps();
    const auto from_plain = [&](const PairGradients& s) {
      const PairGradients plain = one.plain();
      return (matrix_of(s.a) - matrix_of(plain.a)).squaredNorm() + (matrix_of(s.b) - matrix_of(plain.b)).squaredNorm();
    };
    for (uint64_t t = 0; t < 10; ++t) {
      const Matrix y = 0.1 * random(4, 4, 200 + t);
      const PairGradients other{tensor_of(matrix_of(steps.a) + y * one.a), tensor_of(matrix_of(steps.b) - one.b * y)};
      CHECK((one.moved(other) - one.moved(steps)).cwiseAbs().maxCoeff() < 1e-10);
      CHECK(from_plain(steps) < from_plain(other));
    }
  }
}

TEST_CASE("LoRA-Pro at B = 0 and at factors without full rank", "[lora_pro]") {
  Case one{random(3, 8, 1), Matrix::Zero(5, 3), random(5, 8, 2), 1.5};
  const Matrix onto = one.a.transpose() * (one.a * one.a.transpose()).inverse() * one.a;
  CHECK(matrix_of(one.steps().a).cwiseAbs().maxCoeff() == 0);
  CHECK((one.moved(one.steps()) - one.g * onto).cwiseAbs().maxCoeff() < 1e-12);
  one.b.col(0) = random(5, 1, 3);
  one.b.col(1) = 2 * one.b.col(0);
  one.b.col(2) = 1e-9 * random(5, 1, 4);  // noise of single precision is no direction
  const Matrix u = one.b.col(0).normalized();
  const Matrix wanted = u * u.transpose() * one.g + (one.g - u * u.transpose() * one.g) * onto;
  CHECK((one.moved(one.steps()) - wanted).cwiseAbs().maxCoeff() < 1e-6);
  CHECK(matrix_of(one.steps().a).allFinite());
  CHECK(matrix_of(one.steps().a).norm() < 100);
  one.a.setZero();
  one.b.setZero();
  CHECK(matrix_of(one.steps().b).allFinite());
}

TEST_CASE("the optimiser steps pairs by LoRA-Pro, each group by itself", "[lora_pro]") {
  const auto backend = make_backend({"reference", 1});
  constexpr int64_t kGroups = 2, kRank = 2, kInputs = 5, kOutputs = 3;  // of a group
  for (const OptimiserKind kind : {OptimiserKind::sgd, OptimiserKind::adamw}) {
    const OptimiserSpec spec{.kind = kind, .rate = 0.1, .weight_decay = 0.1, .lora_pro = true};
    Parameter a, b;
    std::vector<Case> cases;
    Matrix all_a(kGroups * kRank, kInputs), all_b(kGroups * kOutputs, kRank), da = all_a, db = all_b;
    for (int64_t g = 0; g < kGroups; ++g) {
      const auto seed = static_cast<uint64_t>(g);
      cases.push_back({random(kRank, kInputs, seed), random(kOutputs, kRank, 10 + seed),
                       random(kOutputs, kInputs, 20 + seed), 1.5});
      all_a.middleRows(g * kRank, kRank) = cases.back().a;
      all_b.middleRows(g * kOutputs, kOutputs) = cases.back().b;
      da.middleRows(g * kRank, kRank) = matrix_of(cases.back().plain().a);
      db.middleRows(g * kOutputs, kOutputs) = matrix_of(cases.back().plain().b);
    }
    const auto as = [](const Matrix& x, bool conv) {
      return tensor_of(x).view(conv ? Shape{x.rows(), x.cols(), 1, 1} : Shape{x.rows(), x.cols()});
    };
    a.value = as(all_a, true), b.value = as(all_b, true), a.grad = as(da, true), b.grad = as(db, true);
    a.decay = b.decay = true;
    Optimiser optimiser(*backend, spec, {{"x.a", &a}, {"x.b", &b}}, {{&a, &b, kGroups, 1.5}});
    CHECK(optimiser.state().size() == 2);
    optimiser.step(1);
    for (int64_t g = 0; g < kGroups; ++g) {
      const Case& one = cases[static_cast<size_t>(g)];
      PairGradients steps = one.steps();
      double kept = 1 - 0.1 * 0.1;  // of sgd, which adds the decay to the gradient
      if (kind == OptimiserKind::adamw) {
        // At the first step Adam's direction is the sign of every entry.
        Case signs = one;
        signs.g = one.moved(steps).unaryExpr([](double v) { return v / (std::fabs(v) + 1e-8); });
        steps = signs.steps();
        kept = std::sqrt(1 - 0.1 * 0.1);
      }
      const Matrix new_a = matrix_of(a.value).middleRows(g * kRank, kRank);
      const Matrix new_b = matrix_of(b.value).middleRows(g * kOutputs, kOutputs);
      CHECK((new_a - (kept * one.a - 0.1 * matrix_of(steps.a))).cwiseAbs().maxCoeff() < 1e-9);
      CHECK((new_b - (kept * one.b - 0.1 * matrix_of(steps.b))).cwiseAbs().maxCoeff() < 1e-9);
    }
    CHECK(!a.grad);
  }
  Parameter other{.value = tensor_of(random(2, 2, 1))};
  CHECK_THROWS_WITH(Optimiser(*backend, {.lora_pro = true}, {{"w", &other}}), Catch::Contains("none is trained"));
}

namespace {

/// Loss after so many steps of a regression whose answer is a change of the base of rank 2.
double loss_after(int steps, const OptimiserSpec& spec) {
  const auto backend = make_backend({"reference", 1});
  Graph graph({{12}, {{"w", "linear", {}, {{"features", int64_t{10}}, {"bias", false}}}}}, *backend, RandomKey(1));
  AdapterSpec lora;
  lora.kind = AdapterKind::lora;
  lora.rank = 2;
  lora.alpha = 4;
  AdapterBank bank(graph);
  bank.attach("a", lora, {}, RandomKey(2));
  freeze(graph);
  bank.train("a", true);
  const Tensor base = graph.nodes()[0].module->weight_site()->weight->stored.value;
  const Matrix target = matrix_of(base) + 0.5 * random(10, 2, 5) * random(2, 12, 6);
  const Matrix x = random(64, 12, 7);
  const Matrix y = x * target.transpose();
  Optimiser optimiser(*backend, spec, parameters_of(graph),
                      spec.lora_pro ? low_rank_pairs(graph) : std::vector<LowRankPair>());
  double loss = 0;
  for (int step = 0; step <= steps; ++step) {
    Tape tape(*backend, {.record = true, .training = true});
    const Var out = graph.forward(tape, tape.input(tensor_of(x)));
    const Matrix off = matrix_of(out.value) - y;
    loss = off.squaredNorm() / 64;
    tape.backward(out, tensor_of(2.0 / 64 * off));
    optimiser.step(1);
  }
  return std::isfinite(loss) ? loss : 1e300;
}

}  // namespace

TEST_CASE("LoRA-Pro reaches a smaller loss in as many steps than LoRA at its best rate", "[lora_pro]") {
  for (const OptimiserKind kind : {OptimiserKind::sgd, OptimiserKind::adamw}) {
    double best[2] = {1e300, 1e300};
    for (const bool pro : {false, true}) {
      for (int i = 0; i < 12; ++i) {
        const OptimiserSpec spec{.kind = kind, .rate = 0.002 * std::pow(2.0, i), .momentum = 0.5, .lora_pro = pro};
        best[pro ? 1 : 0] = std::min(best[pro ? 1 : 0], loss_after(25, spec));
      }
    }
    INFO("LoRA " << best[0] << ", LoRA-Pro " << best[1]);
    CHECK(best[1] < 0.5 * best[0]);
  }
}

TEST_CASE("a trainer steps the LoRA on its network by LoRA-Pro, and refuses one without", "[lora_pro]") {
  const auto backend = make_backend({"cpu", 1});
  Graph graph(test::mixed_network(), *backend, RandomKey(3));
  const TrainSpec spec{.optimiser = {.kind = OptimiserKind::adamw, .rate = 0.01, .lora_pro = true}, .steps = 10};
  CHECK_THROWS_WITH(Trainer(graph, spec), Catch::Contains("LoRA-Pro"));
  AdapterSpec lora;
  lora.kind = AdapterKind::lora;
  lora.rank = 1;
  AdapterBank bank(graph);
  bank.attach("a", lora, {}, RandomKey(1));
  freeze(graph);
  bank.train("a", true);
  Trainer trainer(graph, spec);
  const Tensor x = test::make_input(*backend, {{4, 6, 9, 8}, Layout::channels_last}, 5);
  const Tensor labels = Tensor::of<int32_t>({4}, {0, 1, 2, 3});
  double first = 0, last = 0;
  for (int step = 0; step < 10; ++step) {
    last = trainer.step(x, labels).loss;
    if (step == 0) first = last;
  }
  CHECK(last < first);
}

}  // namespace gsnet
