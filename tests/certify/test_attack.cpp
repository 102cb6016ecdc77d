// Every attack against a linear classifier, whose nearest boundary is known.
#include <catch2/catch.hpp>

#include "certify/attack_models.h"
#include "core/error.h"

namespace gsnet {
namespace {

using test::LinearModel;

struct Case {
  const char* attack;
  double succeeds;  ///< within this many times the distance of the nearest boundary
};

/// Gradients of a linear classifier point straight at the boundary; random search needs room.
constexpr Case kCases[] = {{"pgd", 1.05}, {"apgd-ce", 1.05}, {"apgd-t", 1.05}, {"fab-t", 1.05}, {"square", 2.5}};

AttackSpec quick(double radius) {
  return {.radius_l2 = radius, .steps = 40, .restarts = 3, .targets = 9, .queries = 1500};
}

bool breaks(AttackTarget& target, const AttackTask& task, const Attack& attack, double radius) {
  const AttackFinds finds = attack.run(target, task, quick(radius));
  const double distance = distance_l2(task.clean[0], finds.pictures[0]);
  for (float pixel : finds.pictures.values) CHECK((pixel >= 0 && pixel <= 1));
  if (attack.name != std::string("fab-t")) CHECK(distance <= radius);
  return distance <= radius && !(attack_margin(target.logits(finds.pictures)[0], task.labels[0]) > 0);
}

}  // namespace

TEST_CASE("attacks succeed just beyond the boundary of a linear classifier and never before it", "[attack]") {
  CHECK(attacks().size() == std::size(kCases));
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 1});
    const LinearModel linear(*backend);
    AttackTarget target(linear.model);
    const AttackTask tasks = linear.task(3);
    for (const Case& row : kCases) {
      const Attack& attack = find_attack(row.attack);
      for (int64_t n = 0; n < tasks.count(); ++n) {
        INFO(machine << " " << row.attack << " picture " << n);
        const AttackTask task = test::one_of(tasks, n);
        const double distance = linear.distance(task.clean[0], task.labels[0]);
        CHECK(breaks(target, task, attack, row.succeeds * distance));
        CHECK_FALSE(breaks(target, task, attack, 0.95 * distance));
      }
    }
  }
}

TEST_CASE("fab finds the nearest misclassified picture", "[attack]") {
  const auto backend = make_backend({"cpu", 1});
  const LinearModel linear(*backend);
  AttackTarget target(linear.model);
  const AttackTask task = linear.task(6);
  const AttackFinds finds = fab_attack(target, task, quick(1e-3));  // far below: every target is tried
  CHECK(finds.runs == 6 * (LinearModel::kClasses - 1));
  for (int64_t n = 0; n < task.count(); ++n) {
    const double found = distance_l2(task.clean[n], finds.pictures[n]);
    const double nearest = linear.distance(task.clean[n], task.labels[static_cast<size_t>(n)]);
    CHECK(found >= nearest * (1 - 1e-5));
    CHECK(found <= nearest * 1.01);
  }
}

TEST_CASE("at a corner of the box attacks go round it", "[attack]") {
  const auto backend = make_backend({"reference", 1});
  const LinearModel linear(*backend);
  AttackTarget target(linear.model);
  AttackTask task = linear.task(1);
  const int rival = likeliest_rivals(linear.logits(task.clean[0]), task.labels[0], 1)[0];
  // Pixels of the first colour at the end that their step to the rival would leave: only the others can move.
  for (size_t i = 0; i < 16; ++i)
    task.clean[0][i] = linear.slope(rival, i) > linear.slope(task.labels[0], i) ? 1.0F : 0.0F;
  task.labels = test::predictions(target, task.clean);
  const double unbounded = linear.distance(task.clean[0], task.labels[0]);
  for (const Case& row : kCases) {
    INFO(row.attack);
    CHECK(breaks(target, task, find_attack(row.attack), 6 * unbounded));
  }
}

TEST_CASE("what an attack finds depends on the key and not on the company", "[attack]") {
  const auto backend = make_backend({"reference", 1});
  const LinearModel linear(*backend);
  AttackTarget target(linear.model);
  const AttackTask task = linear.task(3);
  AttackSpec spec = quick(0.02);  // too small to succeed: all steps are made
  spec.queries = 50;
  for (const Attack& attack : attacks()) {
    INFO(attack.name);
    const Pixels all = attack.run(target, task, spec).pictures;
    CHECK(attack.run(target, task, spec).pictures.values == all.values);
    AttackTask last = test::one_of(task, 2);
    const Pixels alone = attack.run(target, last, spec).pictures;
    CHECK(std::ranges::equal(alone[0], all[2]));
    last.keys[0] = RandomKey(99);
    const bool random = attack.name != std::string("fab-t") && attack.name != std::string("pgd");
    if (random) CHECK_FALSE(std::ranges::equal(attack.run(target, last, spec).pictures[0], all[2]));
  }
}

TEST_CASE("gradient attacks work through a deep network, on both machines alike", "[attack]") {
  std::vector<std::vector<double>> fab_distances;
  for (const char* machine : {"reference", "cpu"}) {
    INFO(machine);
    const auto backend = make_backend({machine, 1});
    const Model model = test::small_lipconvnet(*backend);
    AttackTarget target(model);
    AttackTask task{test::random_pictures(2, 3072, 9), {}, {RandomKey(1), RandomKey(2)}};
    task.labels = test::predictions(target, task.clean);
    AttackSpec spec = quick(0);
    spec.steps = 12;
    spec.restarts = spec.targets = 2;
    const Pixels near = fab_attack(target, task, spec).pictures;
    fab_distances.emplace_back();
    for (int64_t n = 0; n < 2; ++n) fab_distances.back().push_back(distance_l2(task.clean[n], near[n]));
    // What FAB reached, the others reach with a little more room; cross-entropy alone needs more, for it lowers the own
    // logit against all others, not against the nearest.
    for (const char* name : {"pgd", "apgd-ce", "apgd-t"}) {
      const double room = name == std::string("apgd-ce") ? 1.5 : 1.1;
      spec.radius_l2 = room * std::max(fab_distances.back()[0], fab_distances.back()[1]);
      INFO(name << " within " << spec.radius_l2);
      const Logits z = target.logits(find_attack(name).run(target, task, spec).pictures);
      for (int64_t n = 0; n < 2; ++n) CHECK(attack_margin(z[n], task.labels[static_cast<size_t>(n)]) <= 0);
    }
  }
  for (size_t n = 0; n < 2; ++n) {
    CHECK(fab_distances[0][n] > 0);
    CHECK(fab_distances[0][n] == Approx(fab_distances[1][n]).epsilon(1e-2));
  }
}

TEST_CASE("an unknown attack is refused with the names there are", "[attack]") {
  CHECK_THROWS_WITH(find_attack("fgsm"), Catch::Contains("fgsm") && Catch::Contains("square"));
}

}  // namespace gsnet
