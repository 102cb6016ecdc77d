// gsnet bench
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "apps/bench_adapters.h"
#include "apps/bench_series.h"
#include "apps/bench_timing.h"
#include "apps/command.h"
#include "apps/options.h"
#include "apps/recipe.h"
#include "apps/training_run.h"
#include "layers/lipconvnet.h"
#include "train/trainer.h"

namespace gsnet::apps {
namespace {

SeriesCase parse_case(const std::string& text) {
  const std::vector<std::string> parts = split_list(text);
  if (parts.size() != 3) throw UsageError(fmt::format("--case must be CHANNELS,SIDE,GROUPS, got '{}'", text));
  const auto whole = [&](size_t i) { return static_cast<int64_t>(parse_number(parts[i])); };
  const SeriesCase c{whole(0), whole(1), whole(2)};
  if (c.channels < 1 || c.side < 1 || c.groups < 1 || c.channels % c.groups != 0) {
    throw UsageError(fmt::format("--case '{}': positive numbers, groups that divide the channels", text));
  }
  return c;
}

/// Ten times a job that adds its ops' times to a profile. Waiting for each op costs a little.
template <class Job>
void print_profile(const char* name, Job&& job) {
  constexpr int kTimes = 10;
  TapeProfile profile;
  const Stopwatch watch;
  for (int i = 0; i < kTimes; ++i) job(&profile);
  const double whole = watch.seconds() / kTimes;
  std::vector<std::pair<std::string, OpTime>> rows(profile.begin(), profile.end());
  std::ranges::sort(rows, std::greater(),
                    [](const auto& row) { return row.second.forward_seconds + row.second.backward_seconds; });
  double rest = whole;
  fmt::print("{:<20} {:>6} {:>12} {:>12} {:>7}\n", name, "calls", "forward ms", "backward ms", "share");
  for (const auto& [op, time] : rows) {
    const double forward = time.forward_seconds / kTimes, backward = time.backward_seconds / kTimes;
    rest -= forward + backward;
    fmt::print("  {:<18} {:6} {:12.2f} {:12.2f} {:5.1f} %\n", op, time.calls / kTimes, 1e3 * forward, 1e3 * backward,
               100 * (forward + backward) / whole);
  }
  fmt::print("  {:<18} {:6} {:12.2f} {:12} {:5.1f} %\n", "the rest", "", 1e3 * rest, "", 100 * rest / whole);
}

}  // namespace

BenchInputs random_inputs(int64_t batch, const Shape& input, int64_t classes) {
  Random random(RandomKey(7));
  BenchInputs made{Tensor::empty({batch, input[0], input[1], input[2]}, DType::f32, Layout::channels_last),
                   Tensor::empty({batch}, DType::i32)};
  for (float& pixel : made.images.host<float>()) pixel = static_cast<float>(random.normal());
  for (int32_t& label : made.labels.host<int32_t>()) {
    label = static_cast<int32_t>(random.below(static_cast<uint32_t>(classes)));
  }
  return made;
}

double matmul_rate(Backend& backend, double seconds_at_least) {
  constexpr int64_t kSide = 1024;
  Tensor a = backend.empty({kSide, kSide}), b = backend.empty({kSide, kSide}), c = backend.empty({kSide, kSide});
  backend.fill(0.5, a);
  backend.fill(0.25, b);
  const double seconds =
      median_seconds_of_work(backend, seconds_at_least, [&] { backend.matmul(a, false, b, false, c); });
  return static_cast<double>(kSide) * kSide * kSide / seconds;
}

int bench_command(const std::vector<std::string>& arguments) {
  Options options(
      "bench [--set key=value …] [--batch N] [--seconds S]",
      "Times one training step and one evaluation of a LipConvNet on random pictures, after warm-up; median.\n"
      "--set takes the settings of [model], e.g. --set depth=15 --set groups2=1.");
  options.values("set", "a setting of the network")
      .value("batch", "pictures a step", "128")
      .value("seconds", "at least this long a figure", "5")
      .value("only", "train or eval: time that alone")
      .flag("series", "the series alone, forward and backward, over channels, maps and groups")
      .value("case", "with --series: CHANNELS,SIDE,GROUPS, that case alone; or all, of up to 2^26 numbers a batch")
      .value("degree", "with --series: terms of the series, 1 to 30", "5")
      .values("adapter",
              "a training step under an adapter, in turns with others: full, lora:rank=2, gsoft:block=8,scale=true, or "
              "a recipe's: FILE.toml")
      .value("network", "with --adapter: a network known by name", "resnet20")
      .value("precision", "of the training step's and the series' products: f32, tf32 or bf16", "f32")
      .value("segments", "of the training step: activations kept between so many parts only (0: all)", "0")
      .flag("direct", "evaluation and --series by direct sums, whose rounding errors certificates bound")
      .flag("composed", "--series by the machine's convolutions and passes of elements, to compare with")
      .flag("profile", "also where the time goes, op by op")
      .flag("json", "as JSON")
      .machine();
  if (!options.parse(arguments)) return 0;
  Attributes settings = parse_settings(options.texts("set"));
  const int64_t batch = options.integer("batch", 1, 65536);
  const double seconds = parse_number(options.text("seconds"));
  const std::string only = options.text("only");
  if (!only.empty() && only != "train" && only != "eval") {
    throw UsageError(fmt::format("--only must be train or eval, got '{}'", only));
  }
  const auto timed = [&](const char* job, auto&& call) {
    return only.empty() || only == job ? median_seconds(seconds, call) : std::numeric_limits<double>::infinity();
  };
  if (options.given("precision") && options.given("adapter")) {
    throw UsageError("--precision is of orthogonal convolutions, --adapter has none");
  }
  if (options.given("network") && !options.given("adapter")) throw UsageError("--network needs --adapter");
  if (options.given("precision") && options.has("series") && options.has("direct")) {
    throw UsageError("--series is by --direct sums or in a --precision, not both");
  }
  const std::string precision = options.text("precision");
  const auto named = std::ranges::find(kPrecisions, precision);
  if (named == std::end(kPrecisions)) {
    throw UsageError(fmt::format("--precision must be f32, tf32 or bf16, got '{}'", precision));
  }
  const auto factors = static_cast<Precision>(named - std::begin(kPrecisions));
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  if (options.has("series")) {
    GSNET_CHECK(backend->multiplies(factors),
                fmt::format("{} ({}) has no products of {}", backend->name(), backend->description(), precision));
    SeriesBenchSpec spec{.batch = batch,
                         .seconds = options.given("seconds") ? seconds : 0.3,
                         .products = options.has("direct") ? SeriesProducts::direct : fast_products(factors)};
    spec.degree = static_cast<int>(options.integer("degree", 1, 30));
    spec.json = options.has("json");
    spec.composed = options.has("composed");
    if (options.given("case")) {
      const std::string text = options.text("case");
      spec.cases = text == "all" ? every_series_case() : std::vector{parse_case(text)};
    }
    return bench_series(*backend, spec);
  }
  if (options.given("adapter")) {
    return bench_adapters(*backend, {.network = options.text("network"),
                                     .kinds = options.texts("adapter"),
                                     .batch = batch,
                                     .json = options.has("json")});
  }
  Graph graph(lipconvnet(settings, {3, 32, 32}, 10), *backend, RandomKey(1));
  const BenchInputs inputs = random_inputs(batch, {3, 32, 32}, 10);
  const double matmul = matmul_rate(*backend);
  Trainer trainer(graph, {.optimiser = {.rate = 0.1},
                          .schedule = {.kind = ScheduleKind::constant},
                          .steps = 1'000'000,
                          .segments = static_cast<int>(options.integer("segments", 0, 100'000)),
                          .precision = factors});
  const double train = timed("train", [&] { trainer.step(inputs.images, inputs.labels); });
  if (options.has("profile") && only != "eval") {
    print_profile("training step", [&](TapeProfile* profile) {
      trainer.set_profile(profile);
      trainer.step(inputs.images, inputs.labels);
      trainer.set_profile(nullptr);
    });
  }
  const int64_t train_peak = backend->memory()->stats().peak_bytes;
  const Tensor pictures = backend->upload(inputs.images);
  const auto evaluate = [&](TapeProfile* profile) {
    Tape tape(*backend, {.fast = !options.has("direct"), .many = true, .profile = profile});
    graph.forward(tape, tape.input(pictures));
    backend->synchronise();
  };
  const double evaluation = timed("eval", [&] { evaluate(nullptr); });
  if (options.has("profile") && only != "train") print_profile("evaluation", evaluate);
  double macs = 0, step_macs = 0;
  for (const Graph::Node& node : graph.nodes()) {
    const Cost cost = node.module->cost(graph.input_shapes(node));
    macs += cost.macs;
    step_macs += 3 * cost.training_macs.value_or(cost.macs);  // and both gradients
  }
  const auto count = static_cast<double>(batch);
  const auto speed = [&](double seconds_each) {
    return std::isfinite(seconds_each) ? nlohmann::ordered_json(count / seconds_each) : nullptr;
  };
  const nlohmann::ordered_json json = {{"backend", backend->name()},
                                       {"machine", backend->description()},
                                       {"precision", precision},
                                       {"batch", batch},
                                       {"matmul_gflops", 2e-9 * matmul},
                                       {"train_images_per_second", speed(train)},
                                       {"train_recorded", trainer.recorded()},
                                       {"eval_images_per_second", speed(evaluation)},
                                       {"train_mmacs_per_image", step_macs * 1e-6},
                                       {"eval_mmacs_per_image", macs * 1e-6},
                                       {"peak_tensor_bytes", train_peak},
                                       {"peak_process_bytes", peak_bytes()}};
  if (options.has("json")) {
    fmt::print("{}\n", json.dump());
    return 0;
  }
  fmt::print("{} ({}), batch {}\n", backend->name(), backend->description(), batch);
  fmt::print("matrix product 1024^3   {:9.1f} GFLOP/s\n", 2e-9 * matmul);
  const auto print_speed = [&](const char* what, double seconds_each, double macs_each) {
    if (!std::isfinite(seconds_each)) return;
    const double rate = macs_each * count / seconds_each;
    fmt::print("{:<23} {:9.1f} images/s, {:7.1f} GFLOP/s of direct sums: {:.0f} %\n", what, count / seconds_each,
               2e-9 * rate, 100 * rate / matmul);
  };
  print_speed("training step", train, step_macs);
  if (backend->device().kind != DeviceKind::host && std::isfinite(train)) {
    fmt::print("                        {}\n",
               trainer.recorded() ? "recorded" : "done one by one: " + trainer.why_not_recorded());
  }
  print_speed("evaluation", evaluation, macs);
  fmt::print("peak tensors, training  {:9.1f} MB\n", static_cast<double>(train_peak) * 1e-6);
  fmt::print("peak process            {:9.1f} MB\n", static_cast<double>(peak_bytes()) * 1e-6);
  return 0;
}

}  // namespace gsnet::apps
