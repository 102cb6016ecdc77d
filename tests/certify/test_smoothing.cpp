// Randomised smoothing: bounds against exact values, noise against its distribution, certificates against closed forms.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "certify/smoothing_bounds.h"
#include "certify/smoothing_noise.h"
#include "certify/smoothing_report.h"
#include "core/error.h"
#include "data/loader.h"
#include "io/model_file.h"
#include "io/temporary_folder.h"

namespace gsnet {
namespace {

double normal_distribution(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }

/// A linear classifier of rows of weights over (F) features or flattened (C, H, W) pixels.
Model linear_model(Backend& backend, const Shape& input, std::vector<double> rows, std::vector<double> mean,
                   std::vector<double> stddev) {
  const auto classes = static_cast<int64_t>(rows.size()) / input.numel();
  Description description{input, {}};
  if (input.rank() == 3) description.nodes.push_back({"flatten", "flatten", {}, {}});
  description.nodes.push_back({"head", "linear", {}, {{"features", classes}, {"bias", false}}});
  Model model{{description, std::move(mean), std::move(stddev), {}, {}}, nullptr};
  for (int64_t c = 0; c < classes; ++c) model.info.class_names.push_back(std::to_string(c));
  model.graph = std::make_unique<Graph>(description, backend, RandomKey(1));
  *state_of(*model.graph)[0].tensor =
      backend.upload(Tensor::of<double>({classes, input.numel()}, std::span<const double>(rows)));
  state_changed(*model.graph);
  return model;
}

struct Task {
  int64_t features, classes;
  std::vector<double> rows;
  std::vector<std::vector<uint8_t>> pictures;

  PictureSource source() const {
    return {static_cast<int64_t>(pictures.size()), [this](int64_t i, std::span<uint8_t> pixels) {
              std::ranges::copy(pictures[static_cast<size_t>(i)], pixels.begin());
            }};
  }
  Model model(Backend& backend) const {
    const auto n = static_cast<size_t>(features);
    return linear_model(backend, {features}, rows, std::vector<double>(n, 0.4), std::vector<double>(n, 0.3));
  }
  /// The class, and the distance of picture i, pixels in [0, 1], to the nearest boundary.
  std::pair<int, double> truth(size_t i) const {
    const auto logit_gap = [&](int64_t a, int64_t b) {
      double gap = 0, norm = 0;
      for (int64_t k = 0; k < features; ++k) {
        const double w = rows[static_cast<size_t>(a * features + k)] - rows[static_cast<size_t>(b * features + k)];
        gap += w * (pictures[i][static_cast<size_t>(k)] / 255.0 - 0.4) / 0.3;
        norm += w * w / (0.3 * 0.3);
      }
      return gap / std::sqrt(norm);
    };
    for (int64_t c = 0; c < classes; ++c) {
      double distance = INFINITY;
      for (int64_t other = 0; other < classes; ++other) {
        if (other != c) distance = std::min(distance, logit_gap(c, other));
      }
      if (distance > 0) return {static_cast<int>(c), distance};
    }
    return {kAbstained, 0};
  }
};

Task random_task(int64_t features, int64_t classes, int count) {
  Task task{features, classes, {}, {}};
  Random random(RandomKey(17).with(static_cast<uint64_t>(classes)));
  for (int64_t k = 0; k < features * classes; ++k) task.rows.push_back(random.normal());
  for (int i = 0; i < count; ++i) {
    auto& picture = task.pictures.emplace_back();
    for (int64_t k = 0; k < features; ++k) picture.push_back(static_cast<uint8_t>(random.below(256)));
  }
  return task;
}

bool equal(const std::vector<SmoothedPrediction>& a, const std::vector<SmoothedPrediction>& b) {
  return std::ranges::equal(a, b, [](const SmoothedPrediction& p, const SmoothedPrediction& q) {
    return p.predicted == q.predicted && p.radius_l2 == q.radius_l2 && p.selected == q.selected && p.hits == q.hits &&
           p.samples == q.samples;
  });
}

}  // namespace

TEST_CASE("smoothing: Clopper-Pearson and the quantile lie just below their exact values", "[certify]") {
  struct Row {
    int64_t hits, samples;
    double alpha, exact;  // by bisection with 30 digits
  };
  for (const Row& row :
       {Row{5, 10, 0.05, 0.22244110100812908173}, Row{90, 100, 0.001, 0.77532988016777492558},
        Row{9999, 10000, 0.001, 0.99907703866933948769}, Row{51000, 100000, 0.001, 0.5051093492440559445},
        Row{99000, 100000, 0.001, 0.98898934037747475921}, Row{100000, 100000, 0.001, 0.99993092483300939297},
        Row{1, 1000, 0.001, 1.0004998330832416875e-6}}) {
    CAPTURE(row.hits, row.samples);
    const double bound = proportion_lower_bound(row.hits, row.samples, row.alpha);
    CHECK(bound < row.exact);
    CHECK(bound == Approx(row.exact).epsilon(1e-9));
    CHECK(proportion_upper_bound(row.samples - row.hits, row.samples, row.alpha) == Approx(1 - row.exact).margin(1e-9));
    CHECK(proportion_upper_bound(row.samples - row.hits, row.samples, row.alpha) > 1 - row.exact);
  }
  CHECK(proportion_lower_bound(0, 10, 0.01) == 0);
  const std::pair<double, double> quantiles[] = {
      {0.5000001, 2.5066282733116483012e-7}, {0.75, 0.6744897501960817432},    {0.9, 1.2815515655446005935},
      {0.999, 3.0902323061678132778},        {0.99993, 3.8081682644489683637}, {0.99999999, 5.6120012433055049826}};
  for (const auto& [p, exact] : quantiles) {
    CAPTURE(p);
    CHECK(normal_quantile_lower_bound(p) < exact);
    CHECK(normal_quantile_lower_bound(p) == Approx(exact).epsilon(1e-11).margin(1e-11));
  }
  CHECK(normal_quantile_lower_bound(0.5) == 0);
  CHECK_THROWS_AS(normal_quantile_lower_bound(1), Error);
  CHECK_THROWS_AS(proportion_lower_bound(11, 10, 0.01), Error);
  CHECK_THROWS_AS(proportion_lower_bound(1, 10, 0.5), Error);
}

TEST_CASE("smoothing: the bound fails in at most a share alpha of all experiments", "[certify]") {
  // Exactly, by summing over all outcomes of 40 trials: the bound is above p with probability at most alpha.
  constexpr int kTrials = 40;
  std::vector<double> bounds;
  for (int k = 0; k <= kTrials; ++k) bounds.push_back(proportion_lower_bound(k, kTrials, 0.02));
  CHECK(std::ranges::is_sorted(bounds));
  double worst = 0;
  for (double p = 0.005; p < 1; p += 0.005) {
    double wrong = 0;
    for (int k = 0; k <= kTrials; ++k) {
      const double log_choose = std::lgamma(kTrials + 1.0) - std::lgamma(k + 1.0) - std::lgamma(kTrials - k + 1.0);
      if (bounds[static_cast<size_t>(k)] > p) {
        wrong += std::exp(log_choose + k * std::log(p) + (kTrials - k) * std::log(1 - p));
      }
    }
    worst = std::max(worst, wrong);
  }
  CHECK(worst <= 0.02);
  CHECK(worst > 0.015);
}

TEST_CASE("smoothing: a draw of noise is the one its random bits ask for", "[certify]") {
  for (const double deviation : {0.05, 0.3, 1.0, 63.75, 700.0}) {
    const RoundedNormal noise(deviation);
    Random random{RandomKey(5)};
    int wrong = 0;
    for (int i = 0; i < 20000; ++i) {
      Random bits = random;
      const double share = (bits.bits() + 0.5) * 0x1p-32;
      const int k = noise(random);
      wrong += normal_distribution((k - 0.5) / deviation) > share + 0x1p-31 ? 1 : 0;
      wrong += normal_distribution((k + 0.5) / deviation) < share - 0x1p-31 ? 1 : 0;
      wrong += std::abs(k) > noise.largest() ? 1 : 0;
    }
    CHECK(wrong == 0);
    CHECK(noise.largest() < 9.5 * deviation + 1);
    CHECK(noise.error().value() < 1e-13 * (deviation + 1));
  }
  CHECK_THROWS_AS(RoundedNormal(0), Error);
  CHECK_THROWS_AS(RoundedNormal(NAN), Error);
}

TEST_CASE("smoothing: noise has its mean, its variance and no memory", "[certify]") {
  const RoundedNormal noise(63.75);
  constexpr int kDraws = 400'000;
  double sum = 0, squares = 0, products = 0, before = 0, fourth = 0;
  Random random{RandomKey(8)};
  for (int i = 0; i < kDraws; ++i) {
    const double k = noise(random);
    sum += k;
    squares += k * k;
    fourth += k * k * k * k;
    products += k * before;
    before = k;
  }
  const double variance = 63.75 * 63.75 + 1.0 / 12;
  CHECK(std::abs(sum / kDraws) < 4 * 63.75 / std::sqrt(kDraws));
  CHECK(std::abs(squares / kDraws / variance - 1) < 4 * std::sqrt(2.0 / kDraws));
  CHECK(std::abs(fourth / kDraws / (3 * variance * variance) - 1) < 4 * std::sqrt(96.0 / 9 / kDraws));
  CHECK(std::abs(products / kDraws / variance) < 4 / std::sqrt(kDraws));
}

TEST_CASE("smoothing: results do not depend on batches or threads", "[certify][threads]") {
  const Task task = random_task(12, 4, 9);
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 1});
    const Model model = task.model(*backend);
    SmoothingSpec spec{.sigma = 0.5, .selection = 21, .estimation = 500, .batch = 64, .seed = 3, .threads = 1};
    const auto outcomes = smooth(model, task.source(), spec);
    for (const int64_t batch : {1, 7, 500, 10000}) {
      spec.batch = batch;
      spec.threads = batch % 2 == 0 ? 3 : 1;
      CHECK(equal(outcomes, smooth(model, task.source(), spec)));
    }
    spec.seed = 4;
    CHECK_FALSE(equal(outcomes, smooth(model, task.source(), spec)));
  }
}

TEST_CASE("smoothing: batches are full across pictures", "[certify]") {
  const Task task = random_task(12, 2, 5);
  const auto backend = make_backend({"cpu", 1});
  const Model model = task.model(*backend);
  std::vector<int64_t> done;
  int64_t most = 0;
  smooth(model, task.source(), {.selection = 10, .estimation = 30, .batch = 40, .stop_early = false, .threads = 1},
         [&](int64_t now, int64_t all) {
           done.push_back(now);
           most = all;
         });
  CHECK(done == std::vector<int64_t>{40, 50, 90, 130, 170, 200});
  CHECK(most == 200);
}

TEST_CASE("smoothing: a linear classifier's radius approaches its distance from below", "[certify]") {
  const auto backend = make_backend({"cpu", 1});
  for (const int64_t classes : {2, 5}) {
    const Task task = random_task(12, classes, 60);
    const Model model = task.model(*backend);
    int above = 0, runs = 0, near = 0;
    double ratio = 0;
    for (uint64_t seed = 0; seed < 5; ++seed) {
      const auto outcomes =
          smooth(model, task.source(),
                 {.sigma = 0.25, .estimation = 3000, .alpha = 0.01, .batch = 2000, .seed = seed, .threads = 1});
      for (size_t i = 0; i < outcomes.size(); ++i, ++runs) {
        const auto [label, distance] = task.truth(i);
        if (outcomes[i].predicted == kAbstained) {
          CHECK(outcomes[i].radius_l2 == 0);
          continue;
        }
        above += outcomes[i].predicted != label || outcomes[i].radius_l2 > distance ? 1 : 0;
        if (classes > 2 || distance < 0.1 || distance > 0.5) continue;
        CHECK(outcomes[i].radius_l2 > 0.75 * distance);
        ratio += outcomes[i].radius_l2 / distance;
        ++near;
      }
    }
    CHECK(above <= 0.03 * runs);  // 300 runs at 1 %: 3 on average, 9 with probability 0.003
    if (classes == 2) {
      REQUIRE(near > 30);
      CHECK(ratio / near > 0.9);
      CHECK(above >= 1);  // not lazily far below either
    }
  }
}

TEST_CASE("smoothing: undecided pictures are abstained from, and soon", "[certify]") {
  const auto backend = make_backend({"cpu", 1});
  // Logits z_0 = x_0, z_1 = x_1, z_2 = x_2: the first picture is nobody's, the second clearly 2's.
  const Model model = linear_model(*backend, {3}, {1, 0, 0, 0, 1, 0, 0, 0, 1}, {0, 0, 0}, {1, 1, 1});
  const std::vector<std::vector<uint8_t>> pictures = {{90, 90, 90}, {10, 10, 250}};
  const PictureSource source{2, [&](int64_t i, std::span<uint8_t> pixels) {
                               std::ranges::copy(pictures[static_cast<size_t>(i)], pixels.begin());
                             }};
  SmoothingSpec spec{.sigma = 0.25, .estimation = 5000, .threads = 1};
  const auto early = smooth(model, source, spec);
  spec.stop_early = false;
  const auto late = smooth(model, source, spec);
  CHECK(early[0].predicted == kAbstained);
  CHECK(early[0].samples <= 1024);
  CHECK(late[0].predicted == kAbstained);
  CHECK(late[0].samples == 5000);
  CHECK(late[0].hits == Approx(5000 / 3.0).margin(150));
  CHECK(early[1].predicted == 2);
  CHECK(early[1].radius_l2 == late[1].radius_l2);
  CHECK(early[1].radius_l2 > 0.5);
}

TEST_CASE("smoothing: logits that are not finite are no votes", "[certify]") {
  const auto backend = make_backend({"cpu", 1});
  const Model model = linear_model(*backend, {2}, {1e38, 1e38, 1e38, -1e38}, {0, 0}, {1e-3, 1e-3});
  const PictureSource source{1, [&](int64_t, std::span<uint8_t> pixels) { std::ranges::fill(pixels, 200); }};
  const auto outcomes = smooth(model, source, {.estimation = 300, .threads = 1});
  CHECK(outcomes[0].predicted == kAbstained);
  CHECK(outcomes[0].hits == 0);
}

TEST_CASE("smoothing: without noise to speak of, the network's own class", "[certify]") {
  const auto backend = make_backend({"cpu", 1});
  const auto set = data::make_glyphs({.size = 20, .seed = 3, .side = 16});
  std::vector<double> rows;
  Random random{RandomKey(2)};
  for (int k = 0; k < 10 * 3 * 16 * 16; ++k) rows.push_back(random.normal());
  const std::vector<double> mean = {0.3, 0.5, 0.6}, stddev = {0.2, 0.3, 0.5};
  const Model model = linear_model(*backend, {3, 16, 16}, rows, mean, stddev);
  const data::Batch batch = data::read_batch(*set, 0, 20, {mean, stddev});
  Tape tape(*backend, {});
  const Tensor logits = backend->download(model.graph->forward(tape, tape.input(backend->upload(batch.images))).value);
  const auto outcomes = smooth(model, {20, [&](int64_t i, std::span<uint8_t> pixels) { set->read(i, pixels); }},
                               {.sigma = 1e-4, .selection = 5, .estimation = 200, .threads = 1});
  for (int64_t i = 0; i < 20; ++i) {
    const float* row = logits.data<float>() + 10 * i;
    const auto& outcome = outcomes[static_cast<size_t>(i)];
    CHECK(outcome.predicted == std::max_element(row, row + 10) - row);
    CHECK(outcome.hits == 200);
    CHECK(outcome.radius_l2 == Approx(1e-4 * normal_quantile_lower_bound(std::pow(0.001, 1 / 200.0))).epsilon(1e-6));
  }
}

TEST_CASE("smoothing: what cannot be is refused", "[certify]") {
  const Task task = random_task(4, 2, 1);
  const auto backend = make_backend({"cpu", 1});
  Model model = task.model(*backend);
  const auto refused = [&](const SmoothingSpec& spec) { CHECK_THROWS_AS(smooth(model, task.source(), spec), Error); };
  refused({.sigma = 0});
  refused({.sigma = NAN});
  refused({.sigma = 17});
  refused({.selection = 0});
  refused({.estimation = 0});
  refused({.alpha = 0});
  refused({.alpha = 0.5});
  refused({.batch = 0});
  refused({.threads = -1});
  model.info.stddev.pop_back();
  CHECK_THROWS_WITH(smooth(model, task.source(), {}), Catch::Contains("4 means"));
  CHECK(smooth(task.model(*backend), {0, {}}, {}).empty());
}

TEST_CASE("smoothing: the report counts abstentions as wrong", "[certify]") {
  SmoothingReport report{.spec = {.selection = 10, .estimation = 90}, .samples = {}, .radii = {0.1, 0.5}};
  report.samples = {{0, "a", 3, {3, 0.4, 3, 90, 90}},
                    {1, "b", 3, {1, 0.9, 1, 90, 90}},
                    {2, "c", 3, {kAbstained, 0, 3, 40, 90}},
                    {3, "d", 1, {1, 0.6, 1, 90, 90}}};
  report.settings = {{"model", "m"}};
  const SmoothingSummary summary = summarise(report);
  CHECK(summary.n == 4);
  CHECK(summary.abstained == 1);
  CHECK(summary.clean_accuracy == 0.5);
  CHECK(summary.certified[0].second == 0.5);
  CHECK(summary.certified[1].second == 0.25);
  CHECK(summary.mean_certified_radius == Approx(0.25));
  CHECK(summary.noisy_pictures == 400);
  const auto json = nlohmann::json::parse(smoothing_json(report, true));
  CHECK(json["radii"][1]["certified_accuracy"] == 0.25);
  CHECK(json["samples"][2]["predicted"].is_null());
  CHECK(json["samples"][3]["radius"] == 0.6);
  CHECK(json["settings"]["model"] == "m");
  CHECK_FALSE(nlohmann::json::parse(smoothing_json(report, false)).contains("samples"));
  report.radii = {0.5, 0.1};
  CHECK_THROWS_AS(summarise(report), Error);
  CHECK(std::isnan(summarise(SmoothingReport{}).clean_accuracy));
}

TEST_CASE("gsnet smooth: from a model file to figures", "[certify][apps]") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend({"cpu", 1});
  const std::string model = folder / "m.safetensors", json = folder / "s.json";
  io::save_model(model, linear_model(*backend, {3, 32, 32}, std::vector<double>(10 * 3072, 0.01), {0.5, 0.5, 0.5},
                                     {0.25, 0.25, 0.25}));
  const auto run = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"smooth", model, "--data", "glyphs", "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return apps::run_command_line(arguments);
  };
  REQUIRE(run({"--limit", "3", "--samples", "40", "--selection", "5", "--radii", "0.01", "--json", json}) == 0);
  CHECK(std::filesystem::exists(json));
  CHECK(run({"--sigma", "0"}) == 2);
  CHECK(run({"--alpha", "1/2"}) == 2);
  CHECK(run({"--samples", "0"}) == 2);
  CHECK(apps::run_command_line({"smooth", model}) == 2);
}

}  // namespace gsnet
