// What attacks stand on: gradients to pixels, losses, the ball, planes.
#include <catch2/catch.hpp>

#include "certify/attack_models.h"
#include "core/error.h"
#include "layers/orthogonal/skew_weight.h"

namespace gsnet {

using test::random_pictures;

TEST_CASE("gradients to pixels agree with differences, and record nothing of the weights", "[attack]") {
  const std::vector<std::pair<std::string, AttackPasses>> ways = {
      {"reference", AttackPasses::fast}, {"cpu", AttackPasses::fast}, {"cpu", AttackPasses::executed}};
  for (const auto& [machine, passes] : ways) {
    INFO(machine << " " << static_cast<int>(passes));
    const auto backend = make_backend({machine, 1});
    const Model model = test::small_lipconvnet(*backend);
    AttackTarget target(model, passes);
    const Pixels x = random_pictures(3, 3072, 4);
    Random random(RandomKey(5));
    Logits weights(3, 10);
    for (double& w : weights.values) w = random.normal();
    const auto pass = target.pass(x, [&](const Logits&, Logits& dz) { dz = weights; });
    CHECK(pass.logits.values == target.tried(x).values);
    const Logits evaluated = target.logits(x);
    if (passes == AttackPasses::executed) CHECK(pass.logits.values == evaluated.values);  // bit for bit
    double off = 0;
    for (size_t i = 0; i < evaluated.values.size(); ++i)
      off = std::max(off, std::fabs(evaluated.values[i] - pass.logits.values[i]));
    CHECK(off <= 1e-5);
    const double step = machine == "reference" ? 1.0 / (1 << 18) : 1.0 / (1 << 8);
    for (int64_t n = 0; n < 3; ++n) {
      Pixels moved[2] = {x, x};
      double found = 0, value[2] = {0, 0}, scale = 0;
      for (size_t i = 0; i < 3072; ++i) {
        const double direction = random.below(2) == 0 ? -1 : 1, g = static_cast<double>(pass.gradient[n][i]);
        moved[0][n][i] += static_cast<float>(step * direction);  // exact: pixels are multiples of 1/64
        moved[1][n][i] -= static_cast<float>(step * direction);
        found += g * direction;
        scale += g * g;
      }
      for (int side : {0, 1}) {
        const Logits z = target.logits(moved[side]);
        for (size_t k = 0; k < 10; ++k) value[side] += weights[n][k] * z[n][k];
      }
      const double expected = (value[0] - value[1]) / (2 * step);
      // Sorted pairs bend where two channels meet, which a difference of some size sees.
      const double tolerance = machine == "reference" ? 1e-4 : 2e-1;
      CHECK(std::fabs(found - expected) <= tolerance * std::sqrt(scale));
      CHECK(std::sqrt(scale) > 0.1);
    }
    for (const NamedParameter& named : parameters_of(*model.graph)) CHECK_FALSE(named.parameter->grad);
  }
}

TEST_CASE("a frozen tape records inputs, not parameters, and uses the weights that evaluation keeps",
          "[attack][tape]") {
  const auto backend = make_backend({"reference", 1});
  Weight weight = make_skew_weight(*backend, RandomKey(1), 1, {4, 4, 3, 3}, {4, 4}, ScaleKind::gram, 2, false);
  Tape evaluation(*backend, {}), frozen(*backend, {.record = true, .frozen = true}), open(*backend, {.record = true});
  const Var kept = weight.use(evaluation), used = weight.use(frozen), tracked = weight.use(open);
  CHECK(used.value.shares_storage_with(kept.value));
  CHECK_FALSE(used.tracked());
  CHECK(tracked.tracked());
  CHECK_FALSE(tracked.value.shares_storage_with(kept.value));
  CHECK(frozen.input(backend->empty({1}), true).tracked());
}

TEST_CASE("a target refuses pictures and normalisations that do not fit", "[attack]") {
  const auto backend = make_backend({"reference", 1});
  test::LinearModel linear(*backend);
  AttackTarget target(linear.model);
  CHECK_THROWS_WITH(target.logits(Pixels(2, 47)), Catch::Contains("48"));
  CHECK(target.logits(Pixels(0, 48)).count() == 0);
  linear.model.info.mean.pop_back();
  CHECK_THROWS_WITH(AttackTarget(linear.model), Catch::Contains("2 means"));
}

TEST_CASE("the gradients of the attacks' losses agree with differences", "[attack]") {
  Random random(RandomKey(6));
  for (size_t classes : {3, 5, 10}) {
    std::vector<double> z(classes), dz(classes), unused(classes);
    for (double& value : z) value = random.normal();
    for (AttackLoss loss :
         {AttackLoss::cross_entropy, AttackLoss::margin, AttackLoss::targeted_margin, AttackLoss::targeted_dlr}) {
      for (int label = 0; label < static_cast<int>(classes); ++label) {
        const int target = label == 0 ? 2 : 0;
        attack_loss(loss, z, label, target, dz);
        for (size_t k = 0; k < classes; ++k) {
          std::vector<double> up = z, down = z;
          up[k] += 1e-6;
          down[k] -= 1e-6;
          const double expected =
              (attack_loss(loss, up, label, target, unused) - attack_loss(loss, down, label, target, unused)) / 2e-6;
          INFO("loss " << static_cast<int>(loss) << " label " << label << " class " << k);
          CHECK(dz[k] == Approx(expected).margin(1e-7));
        }
      }
    }
  }
  std::vector<double> dz(3);
  attack_loss(AttackLoss::cross_entropy, std::vector<double>{900, 0, -5}, 0, 0, dz);
  CHECK(dz[1] == -dz[0]);  // saturated, but not rounded away
  CHECK(attack_margin(std::vector<double>{1, 2, 2}, 1) == 0);
  CHECK(attack_margin(std::vector<double>{1, NAN, 0}, 0) == -INFINITY);
  CHECK(likeliest_rivals(std::vector<double>{1, 3, 2, 3}, 1, 2) == std::vector<int>{3, 2});
}

TEST_CASE("the projection onto ball and box is the nearest point of both", "[attack]") {
  Random random(RandomKey(7));
  for (int round = 0; round < 50; ++round) {
    const double radius = random.uniform(0.05, 2);
    std::vector<float> clean(12), x(12), s(12);
    for (float& c : clean)
      c = random.below(3) == 0 ? static_cast<float>(random.below(2)) : static_cast<float>(random.uniform());
    for (size_t i = 0; i < 12; ++i) x[i] = clean[i] + static_cast<float>(random.normal());
    std::vector<float> p = x, far = x;
    project_to_ball(clean, radius, p);
    stretch_to_ball(clean, radius, far);
    CHECK(distance_l2(clean, p) <= radius);
    CHECK(distance_l2(clean, far) <= radius);
    CHECK(distance_l2(clean, far) >= distance_l2(clean, p) - 1e-6);
    for (float v : p) CHECK((v >= 0 && v <= 1));
    // Nearest: no feasible s lies on x's side of p.
    for (int other = 0; other < 200; ++other) {
      for (size_t i = 0; i < 12; ++i) s[i] = p[i] + static_cast<float>(0.3 * random.normal());
      project_to_ball(clean, radius, s);
      double product = 0;
      for (size_t i = 0; i < 12; ++i) product += static_cast<double>(x[i] - p[i]) * static_cast<double>(s[i] - p[i]);
      CHECK(product <= 1e-5);
    }
    std::vector<float> again = p;
    project_to_ball(clean, radius * 1.0001, again);
    CHECK(again == p);
  }
}

TEST_CASE("the step to a plane is the shortest inside the box", "[attack]") {
  Random random(RandomKey(8));
  int clipped = 0, unreachable = 0;
  for (int round = 0; round < 200; ++round) {
    std::vector<float> from(10), g(10);
    for (float& v : from) v = static_cast<float>(random.uniform());
    for (float& v : g) v = static_cast<float>(random.normal());
    const double offset = 4 * random.normal();
    const std::vector<double> step = step_to_plane(from, g, offset);
    double value = offset, multiplier = 0, most = offset;
    for (size_t i = 0; i < 10; ++i) {
      const auto start = static_cast<double>(from[i]), slope = static_cast<double>(g[i]);
      value += slope * step[i];
      most -= std::copysign(1, offset) *
              std::max(slope * std::copysign(1, offset) * start, -slope * std::copysign(1, offset) * (1 - start));
      CHECK((start + step[i] >= 0 && start + step[i] <= 1));
    }
    if (most * offset > 0) {  // not even the best corner reaches it
      ++unreachable;
      CHECK(value == Approx(most));
      continue;
    }
    CHECK(std::fabs(value) <= 1e-9);
    // One multiplier for all coordinates that are free; the others would go farther.
    for (size_t i = 0; i < 10; ++i) {
      const double end = static_cast<double>(from[i]) + step[i];
      if (end > 0 && end < 1) multiplier = step[i] / static_cast<double>(g[i]);
    }
    for (size_t i = 0; i < 10; ++i) {
      const double end = static_cast<double>(from[i]) + step[i], wanted = multiplier * static_cast<double>(g[i]);
      const bool at_border = end <= 0 || end >= 1;
      clipped += at_border ? 1 : 0;
      if (at_border) {
        CHECK(std::fabs(wanted) >= std::fabs(step[i]) - 1e-9);
      } else {
        CHECK(step[i] == Approx(wanted).margin(1e-9));
      }
    }
  }
  CHECK(clipped > 50);
  CHECK(unreachable > 10);
}

}  // namespace gsnet
