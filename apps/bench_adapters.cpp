#include "apps/bench_adapters.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "adapters/bank.h"
#include "apps/bench_timing.h"
#include "apps/options.h"
#include "apps/recipe.h"
#include "core/error.h"
#include "layers/architectures.h"
#include "train/trainer.h"

namespace gsnet::apps {
namespace {

/// One adapter on a network of its own.
struct Contestant {
  std::string name;
  std::unique_ptr<Graph> graph;
  std::unique_ptr<AdapterBank> bank;
  std::unique_ptr<Trainer> trainer;
  int64_t trained = 0, free = 0, peak = 0;
  double seconds = std::numeric_limits<double>::infinity();
};

AdaptRecipe parse_adapter(const std::string& text) {
  if (text.ends_with(".toml")) {
    const Recipe recipe = read_recipe(text, {});
    GSNET_CHECK(recipe.adapt && recipe.adapt->method != "head", fmt::format("{}: has no [adapter] to time", text));
    return *recipe.adapt;
  }
  AdaptRecipe adapt;
  const size_t colon = text.find(':');
  adapt.method = text.substr(0, colon);
  if (text == "full") return adapt;
  std::vector<std::string> settings = {"kind=" + adapt.method};
  if (colon != std::string::npos) {
    for (const std::string& part : split_list(text.substr(colon + 1))) settings.push_back(part);
  }
  adapt.settings = parse_settings(settings);
  return adapt;
}

Contestant enter(Backend& backend, const std::string& kind, const Description& network) {
  Contestant made;
  made.name = kind;
  made.graph = std::make_unique<Graph>(network, backend, RandomKey(1));
  made.bank = std::make_unique<AdapterBank>(*made.graph);
  const AdaptRecipe adapt = parse_adapter(kind);
  const bool full = adapt.method == "full";
  if (!full) {
    freeze(*made.graph);
    made.bank->attach("adapter", AdapterSpec::from(adapt.settings), adapt.targets, RandomKey(2), adapt.overrides);
    for (const AdapterBank::Row& row : made.bank->rows("adapter")) made.free += row.report.free;
  }
  for (const NamedParameter& named : parameters_of(*made.graph)) {
    made.trained += named.parameter->trainable ? named.parameter->value.numel() : 0;
  }
  if (full) made.free = made.trained;
  made.trainer =
      std::make_unique<Trainer>(*made.graph, TrainSpec{.optimiser = {.kind = OptimiserKind::adamw, .rate = 1e-4},
                                                       .schedule = {.kind = ScheduleKind::constant},
                                                       .steps = 1'000'000});
  return made;
}

}  // namespace

int bench_adapters(Backend& backend, const AdapterBenchSpec& spec) {
  const Architecture& known = find_architecture(spec.network);
  constexpr int64_t kOutputs = 10;
  const Shape input = known.input.rank() == 3 ? known.input : Shape{3, 32, 32};
  const Description network = make_architecture(spec.network, {}, input, known.embeds ? 128 : kOutputs);
  const BenchInputs inputs = random_inputs(spec.batch, input, kOutputs);
  std::vector<Contestant> all;
  for (const std::string& kind : spec.kinds) {
    backend.memory()->trim();
    all.push_back(enter(backend, kind, network));
    backend.memory()->reset_peak();
    const int64_t before = backend.memory()->stats().active_bytes;
    for (int i = 0; i < 2; ++i) all.back().trainer->step(inputs.images, inputs.labels);
    all.back().peak = backend.memory()->stats().peak_bytes - before;
  }
  for (int round = 0; round < spec.rounds; ++round) {
    for (Contestant& one : all) {
      const Stopwatch watch;
      one.trainer->step(inputs.images, inputs.labels);
      one.seconds = std::min(one.seconds, watch.seconds());
    }
  }
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  if (!spec.json) {
    fmt::print("{}, {}, batch {}: a training step, the least of {} in turns\n", spec.network, backend.description(),
               spec.batch, spec.rounds);
    fmt::print("{:<36} {:>10} {:>10} {:>9} {:>9}\n", "adapter", "trained", "free", "ms", "peak MB");
  }
  for (const Contestant& one : all) {
    rows.push_back({{"adapter", one.name},
                    {"trained", one.trained},
                    {"free", one.free},
                    {"seconds", one.seconds},
                    {"peak_tensor_bytes", one.peak}});
    if (spec.json) continue;
    fmt::print("{:<36} {:>10} {:>10} {:9.1f} {:9.1f}\n", one.name, one.trained, one.free, 1e3 * one.seconds,
               static_cast<double>(one.peak) * 1e-6);
  }
  if (spec.json) fmt::print("{}\n", rows.dump());
  return 0;
}

}  // namespace gsnet::apps
