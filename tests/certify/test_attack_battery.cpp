// The battery, what it says of certificates, the Lipschitz search, and the command.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "apps/attack_report.h"
#include "apps/command.h"
#include "certify/attack_battery.h"
#include "certify/attack_models.h"
#include "certify/lipschitz_search.h"
#include "certify/margin.h"
#include "core/error.h"
#include "io/model_file.h"

namespace gsnet {
namespace {

using test::LinearModel;

BatterySpec quick(std::vector<double> radii) {
  BatterySpec spec;
  spec.radii = std::move(radii);
  spec.attack = {.steps = 20, .restarts = 2, .targets = 4, .queries = 100};
  return spec;
}

std::vector<double> certified(const BatteryReport& report, const MarginGeometry& geometry, UpperBound scale) {
  std::vector<double> radii;
  for (int64_t n = 0; n < report.clean_logits.count(); ++n)
    radii.push_back(certify(report.clean_logits[n], geometry, scale).radius_l2);
  return radii;
}

}  // namespace

TEST_CASE("a battery orders certified, attacked and clean, and judges by evaluation", "[attack][battery]") {
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 1});
    const LinearModel linear(*backend);
    AttackTarget target(linear.model);
    AttackTask task = linear.task(12);
    task.labels[3] =
        static_cast<int>((task.labels[3] + 1) % LinearModel::kClasses);  // one that is wrong from the start
    const BatterySpec spec = quick({0.03, 0.1, 0.2});
    const BatteryReport report = run_battery(target, task.clean, task.labels, spec);
    const auto radii = certified(report, MarginGeometry(*linear.model.graph), input_scale(linear.model.info.stddev));
    CHECK(report.right() == 11);
    CHECK_FALSE(report.outcomes[3].right);
    CHECK(report.outcomes[3].attack == -1);
    CHECK(report.survivors(0.03) == 11);  // all are 0.05 from a boundary
    int64_t before = 11, broken = 0;
    for (double radius : spec.radii) {
      int64_t safe = 0;
      for (size_t n = 0; n < radii.size(); ++n) safe += report.outcomes[n].right && radii[n] > radius ? 1 : 0;
      CHECK(safe <= report.survivors(radius));
      CHECK(report.survivors(radius) <= before);
      before = report.survivors(radius);
      int64_t sum = 0;
      for (int a = 0; a < 5; ++a) sum += report.broken_by(a, radius);
      CHECK(sum == report.right() - before);
      broken = sum;
    }
    CHECK(broken > 3);
    CHECK(broken_certificates(report, radii).empty());
    const Logits z = target.logits(report.nearest);
    for (int64_t n = 0; n < task.count(); ++n) {
      const AttackOutcome& outcome = report.outcomes[static_cast<size_t>(n)];
      if (outcome.attack < 0) {
        CHECK(std::ranges::equal(report.nearest[n], task.clean[n]));
        continue;
      }
      const int label = task.labels[static_cast<size_t>(n)];
      CHECK(outcome.distance_l2 == distance_l2(task.clean[n], report.nearest[n]));
      CHECK(attack_margin(z[n], label) <= 0);
      CHECK(outcome.distance_l2 >= linear.distance(task.clean[n], label) * (1 - 1e-5));
    }
  }
}

TEST_CASE("a certificate that claims too much is seen to break", "[attack][battery]") {
  const auto backend = make_backend({"cpu", 1});
  const LinearModel linear(*backend), other(*backend);
  // A geometry of weights half as large: every radius is twice what is true (or more, by the smallest deviation).
  Tensor& w = *state_of(*other.model.graph)[0].tensor;
  backend->scale(0.5, w, w);
  state_changed(*other.model.graph);
  AttackTarget target(linear.model);
  const AttackTask task = linear.task(4);
  const BatteryReport report = run_battery(target, task.clean, task.labels, quick({0.3}));
  const UpperBound scale = UpperBound::proven(1 / 0.3);  // forged too: the smallest is 0.2
  CHECK(report.survivors(0.3) < 4);
  const auto forged = certified(report, MarginGeometry(*other.model.graph), scale);
  CHECK_FALSE(broken_certificates(report, forged).empty());

  apps::AttackReport said;
  said.spec = quick({0.3});
  said.battery = report;
  said.labels = task.labels;
  said.names = {"a", "b", "c", "d"};
  said.certified_l2 = said.executed_l2 = forged;
  said.violations = broken_certificates(report, forged);
  const std::string text = apps::violation_text(said);
  CHECK(text.find("of 4 certificates are wrong") != std::string::npos);
  CHECK(text.find("image " + std::to_string(said.violations[0]) + " (") != std::string::npos);
  CHECK(apps::attack_json(said).find("\"certified_radius\"") != std::string::npos);
  said.executed_l2.clear();
  said.executed = false;
  CHECK(apps::violation_text(said).find("rounding errors were not bounded") != std::string::npos);
  CHECK(apps::attack_table(said).find("not asked") != std::string::npos);
  CHECK(apps::attack_json(said).find("\"executed_radius\": null") != std::string::npos);
  said.executed_l2 = forged;
  said.executed = true;
  said.violations.clear();
  said.lipschitz_bound = 1;
  CHECK(apps::violation_text(said).empty());
  said.lipschitz_found = 1.01;
  CHECK(apps::violation_text(said).empty());  // rounding may have made it
  said.lipschitz_certain = 1.01;
  CHECK_FALSE(apps::violation_text(said).empty());
}

TEST_CASE("a battery's outcome is a function of its key", "[attack][battery]") {
  const auto backend = make_backend({"reference", 1});
  const LinearModel linear(*backend);
  AttackTarget target(linear.model);
  const AttackTask task = linear.task(7);
  BatterySpec spec = quick({0.08, 0.16});
  spec.attacks = {"apgd-ce", "square"};  // from random points
  const BatteryReport first = run_battery(target, task.clean, task.labels, spec);
  spec.batch = 3;
  const BatteryReport second = run_battery(target, task.clean, task.labels, spec);
  CHECK(first.nearest.values == second.nearest.values);
  CHECK(first.runs == second.runs);
  spec.key = RandomKey(77);
  const bool same = run_battery(target, task.clean, task.labels, spec).nearest.values == first.nearest.values;
  CHECK_FALSE(same);
}

TEST_CASE("a battery refuses what makes no sense", "[attack][battery]") {
  const auto backend = make_backend({"reference", 1});
  const LinearModel linear(*backend);
  AttackTarget target(linear.model);
  AttackTask task = linear.task(1);
  const auto refused = [&](const BatterySpec& spec, const std::string& expected) {
    CHECK_THROWS_WITH(run_battery(target, task.clean, task.labels, spec), Catch::Contains(expected));
  };
  refused(quick({0.2, 0.1}), "ascend");
  BatterySpec unknown = quick({0.1});
  unknown.attacks = {"pgd", "magic"};
  refused(unknown, "magic");
  task.labels[0] = 5;
  refused(quick({0.1}), "label 5");
  task.labels[0] = 0;
  task.clean.values[7] = 1.5F;
  refused(quick({0.1}), "[0, 1]");
}

TEST_CASE("the Lipschitz search finds the largest stretch of a linear map and respects the bound", "[attack]") {
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 1});
    LinearModel linear(*backend);
    linear.model.info.stddev = {0.25, 0.25, 0.25};
    // Rows 0 and 1 of length 3 and 2, orthogonal; the others zero: the norm is 3 / 0.25.
    std::vector<double> w(static_cast<size_t>(LinearModel::kClasses * LinearModel::kSize), 0.0);
    w[5] = 3;
    w[static_cast<size_t>(LinearModel::kSize) + 6] = 2;
    *state_of(*linear.model.graph)[0].tensor =
        backend->upload(Tensor::of<double>({LinearModel::kClasses, LinearModel::kSize}, std::span<const double>(w)));
    state_changed(*linear.model.graph);
    AttackTarget target(linear.model);
    const LipschitzFind find = lipschitz_search(target, linear.task(1).clean, RandomKey(1), {});
    CHECK(find.quotient.value == Approx(12).epsilon(1e-4));
    CHECK(find.pair.count() == 2);
    const Model deep = test::small_lipconvnet(*backend);
    AttackTarget deep_target(deep);
    const double bound = (MarginGeometry(*deep.graph).network() * input_scale(deep.info.stddev)).value();
    const double found =
        lipschitz_search(deep_target, test::random_pictures(2, 3072, 3), RandomKey(1), {.steps = 8}).quotient.value;
    CHECK(found <= bound * (1 + 1e-5));
    CHECK(found > 0.05 * bound);
  }
}

TEST_CASE("gsnet attack reports, saves what it found and refuses in one line", "[attack][apps]") {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("gsnet-attack-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const std::string file = folder / "m.safetensors", json = folder / "a.json", save = folder / "a.safetensors";
  const auto backend = make_backend({"cpu", 1});
  io::save_model(file, test::small_lipconvnet(*backend));
  CHECK(apps::run_command_line({"attack",    file, "--data",     "glyphs", "--limit",   "24", "--eps",     "1/255,0.5",
                                "--steps",   "5",  "--restarts", "1",      "--targets", "2",  "--queries", "20",
                                "--threads", "1",  "--json",     json,     "--save",    save}) == 0);
  const std::string text = io::read_text(json);
  for (const char* key : {"\"n\": 24", "clean_accuracy", "attacked_accuracy", "certified_accuracy", "broken_by", "runs",
                          "lipschitz_found", "lipschitz_certain", "lipschitz_bound", "\"violations\": []", "settings",
                          "certified_accuracy_executed", "executed_radius"}) {
    INFO(key);
    CHECK(text.find(key) != std::string::npos);
  }
  const io::TensorFile saved = io::read_safetensors(save);
  CHECK(saved.at("pictures").shape()[0] == saved.at("distance_l2").numel());
  CHECK(saved.at("pictures").shape()[1] == 3);
  // The same pictures certified, with what the attacks found beside.
  const std::string report = folder / "report", page = folder / "report" / "report.html";
  CHECK(apps::run_command_line({"certify", file, "--data", "glyphs", "--limit", "24", "--radii", "1/255,0.5",
                                "--threads", "1", "--beside", json, "--broken", save, "--report", report}) == 0);
  const std::string shown = io::read_text(page);
  for (const char* part : {"smallest attack found", "class=\"point\"", "class=\"aboveline\"", "Broken pictures",
                           "<h3>under attack</h3>", "restarts"}) {
    INFO(part);
    CHECK(shown.find(part) != std::string::npos);
  }
  CHECK(apps::run_command_line({"certify", file, "--data", "glyphs", "--split", "train", "--limit", "24", "--threads",
                                "1", "--beside", json}) == 1);
  CHECK(apps::run_command_line({"certify", file, "--data", "glyphs", "--limit", "24", "--threads", "1", "--broken",
                                json, "--report", report}) == 1);
  // A layer whose rounding errors have no bound.
  const std::string squashed = folder / "s.safetensors";
  io::save_model(squashed, test::squashed_model(*backend));
  std::vector<std::string> arguments = {"attack", squashed,  "--data", "glyphs",    "--limit", "8",      "--battery",
                                        "pgd",    "--steps", "3",      "--threads", "1",       "--json", json};
  CHECK(apps::run_command_line(arguments) == 1);
  arguments.insert(arguments.end(), {"--arithmetic", "real"});
  CHECK(apps::run_command_line(arguments) == 0);
  CHECK(io::read_text(json).find("\"certified_accuracy_executed\": null") != std::string::npos);
  CHECK(apps::run_command_line({"attack", file, "--data", "glyphs", "--arithmetic", "exact"}) == 2);
  CHECK(apps::run_command_line({"attack", file}) == 2);
  CHECK(apps::run_command_line({"attack", file, "--data", "glyphs", "--norm", "linf"}) == 2);
  CHECK(apps::run_command_line({"attack", file, "--data", "glyphs", "--battery", "pgd,magic"}) == 2);
  CHECK(apps::run_command_line({"attack", file, "--data", "glyphs", "--eps", "0"}) == 2);
  fs::remove_all(folder);
}

}  // namespace gsnet
