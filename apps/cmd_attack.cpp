// gsnet attack
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>

#include "apps/attack_report.h"
#include "apps/beside.h"
#include "apps/command.h"
#include "apps/console.h"
#include "apps/data_source.h"
#include "apps/evaluate.h"
#include "apps/options.h"
#include "apps/outputs.h"
#include "certify/lipschitz_search.h"
#include "certify/margin.h"
#include "io/model_file.h"

namespace gsnet::apps {
namespace {

constexpr int64_t kLipschitzStarts = 64;

std::vector<std::string> parse_battery(const std::string& text) {
  std::vector<std::string> names = split_list(text);
  for (const std::string& name : names) {
    try {
      find_attack(name);
    } catch (const Error& error) {
      throw UsageError(error.what());
    }
    if (std::ranges::count(names, name) > 1) throw UsageError(fmt::format("--battery names {} twice", name));
  }
  return names;
}

/// The first `count` pictures, pixels in [0, 1].
Pixels read_pictures(const data::Dataset& dataset, int64_t count) {
  const data::PictureShape shape = dataset.picture();
  const int64_t plane = int64_t{shape.height} * shape.width;
  Pixels pictures(count, shape.numel());
  std::vector<uint8_t> bytes(static_cast<size_t>(shape.numel()));
  for (int64_t n = 0; n < count; ++n) {
    dataset.read(n, bytes);
    for (int64_t c = 0; c < shape.channels; ++c) {
      for (int64_t p = 0; p < plane; ++p) {
        const auto from = static_cast<size_t>(p * shape.channels + c), to = static_cast<size_t>(c * plane + p);
        pictures[n][to] = static_cast<float>(bytes[from] / 255.0);
      }
    }
  }
  return pictures;
}

/// The first `limit` pictures (0: all), with what the report says of them.
Pixels open_pictures(const Model& model, const data::Dataset& dataset, int64_t limit, AttackReport& report) {
  check_fits(model, dataset);
  const int64_t count = limit == 0 ? dataset.size() : std::min(limit, dataset.size());
  for (int64_t n = 0; n < count; ++n) {
    report.labels.push_back(dataset.label(n));
    report.names.push_back(dataset.name(n));
  }
  return read_pictures(dataset, count);
}

/// "none", "all", or kinds, with or without severities, and chains of kinds with: "jpeg,occlusion:5,distant:3+jpeg:2".
std::vector<data::CorruptionChain> parse_corruptions(const std::string& text, uint64_t seed) {
  std::vector<std::string> names;
  if (text != "none" && text != "all") names = split_list(text);
  if (text == "all") names.assign(data::corruption_names().begin(), data::corruption_names().end());
  std::vector<data::CorruptionChain> chains;
  for (const std::string& name : names) {
    const bool one = name.find(':') != std::string::npos;
    for (int severity = 1; severity <= (one ? 1 : 5); ++severity)
      chains.push_back(parse_chain(one ? name : fmt::format("{}:{}", name, severity), seed));
  }
  return chains;
}

void corrupt(const std::vector<data::CorruptionChain>& chains, const std::shared_ptr<const data::Dataset>& dataset,
             AttackTarget& target, const Pixels& pictures, ProgressLine& progress, AttackReport& report) {
  for (const data::CorruptionChain& chain : chains) {
    progress.show(to_string(chain));
    const auto number = static_cast<int>(report.spec.attacks.size() + report.corruptions.size());
    const Pixels given = read_pictures(*data::corrupted(dataset, chain), pictures.count());
    const int64_t right =
        judge_given(target, pictures, report.labels, given, number, report.spec.batch, report.battery);
    const double count = std::max<double>(1, static_cast<double>(pictures.count()));
    report.corruptions.push_back({to_string(chain), static_cast<double>(right) / count});
  }
}

/// Certificates of the very pictures that were attacked. Attacks run in the machine's arithmetic, so that only a
/// picture broken within its executed radius refutes anything.
void certify_pictures(const Model& model, const MarginGeometry& geometry, const std::vector<LogitError>& errors,
                      AttackReport& report) {
  const UpperBound scale = input_scale(model.info.stddev);
  for (int64_t n = 0; n < report.battery.clean_logits.count(); ++n) {
    const auto at = static_cast<size_t>(n);
    const LogitError* error = report.executed ? &errors[at] : nullptr;
    const Certificate certificate = certify(report.battery.clean_logits[n], geometry, scale, error);
    const bool right = certificate.predicted == report.labels[at];
    report.certified_l2.push_back(right ? certificate.radius_l2 : 0);
    if (report.executed) report.executed_l2.push_back(right ? certificate.executed_radius_l2 : 0);
  }
  report.lipschitz_bound = (geometry.network() * scale).value();
  report.violations = broken_certificates(report.battery, report.refutable_l2());
  if (!report.executed) return;
  std::ranges::set_difference(broken_certificates(report.battery, report.certified_l2), report.violations,
                              std::back_inserter(report.broken_by_rounding));
}

/// The quotient of the pair less what rounding errors at both ends can make of it.
double certain_quotient(const Model& model, const AttackTarget& target, const LipschitzFind& found) {
  if (found.pair.count() < 2) return 0;
  const double last = model.graph->bounds().back().layer.value.value();
  double square = 0, errors = 0;
  for (int64_t i = 0; i < found.pair.size; ++i) {
    const auto at = static_cast<size_t>(i);
    const double change = double{found.pair[1][at]} - double{found.pair[0][at]};
    square += change * change;
  }
  for (const LogitError& error : target.rounding_errors(found.pair, 2))
    errors += last * error.features.here + error.last.here;
  const double certain = found.quotient.value - errors / std::sqrt(square);
  return certain > 0 ? certain * (1 - 1e-12) : 0;
}

constexpr const char* kUsage =
    "attack MODEL --data DIR [--eps LIST] [--battery LIST] [--limit N] [--json FILE] [--save FILE]";
constexpr const char* kAbout =
    "Looks for pictures within an L2 radius (pixels in [0, 1]) that the model takes for another class, and holds\n"
    "what it finds against the certificates: certified <= under attack <= clean. A certified picture that breaks\n"
    "is a failure, exit code 1. Attacks run in the order given, each on the pictures that survive.";

void add_options(Options& options) {
  options.positional("MODEL", "a model file")
      .value("data", kDataHelp)
      .value("split", "train or test", "test")
      .value("limit", "the first N pictures only; 0: all", "1000")
      .value("norm", "l2, the only one there is", "l2")
      .value("eps", "radii, separated by commas", "36/255")
      .value("battery", "attacks, separated by commas", "pgd,apgd-ce,apgd-t,fab-t,square")
      .value("corruptions", "common corruptions besides: all, or a list such as jpeg,occlusion:5,distant:3+jpeg:2",
             "none")
      .value("arithmetic", "both, or real: rounding errors are not bounded, and may break what is proven", "both")
      .value("search",
             "fast, or executed: steps in the arithmetic of evaluation, which finds what rounding alone breaks", "fast")
      .value("steps", "gradient steps a run", "100")
      .value("restarts", "runs of pgd a picture", "10")
      .value("targets", "rival classes that apgd-t and fab-t try", "9")
      .value("queries", "evaluations of square a picture", "5000")
      .value("seed", "of all random starts", "1")
      .value("batch", "pictures at a time", "128")
      .value("json", "file for the figures as JSON; - for standard output")
      .value("save", "safetensors file for the pictures that were found")
      .machine();
}

AttackPasses attack_passes(const Options& options) {
  const std::string name = options.text("search");
  if (name == "fast") return AttackPasses::fast;
  if (name == "executed") return AttackPasses::executed;
  throw UsageError(fmt::format("--search {}: there are fast and executed", name));
}

BatterySpec battery_spec(const Options& options) {
  if (options.text("norm") != "l2")
    throw UsageError(fmt::format("--norm {}: only l2 is there, certificates are in L2", options.text("norm")));
  BatterySpec spec;
  spec.attacks = parse_battery(options.text("battery"));
  spec.radii = parse_radii(options.text("eps"));
  spec.attack.steps = static_cast<int>(options.integer("steps", 1, 100'000));
  spec.attack.restarts = static_cast<int>(options.integer("restarts", 1, 10'000));
  spec.attack.targets = static_cast<int>(options.integer("targets", 1, 100'000));
  spec.attack.queries = static_cast<int>(options.integer("queries", 1, 10'000'000));
  spec.batch = options.integer("batch", 1, 100'000);
  spec.key = RandomKey(static_cast<uint64_t>(options.integer("seed", 0, int64_t{1} << 62)));
  return spec;
}

}  // namespace

int attack_command(const std::vector<std::string>& arguments) {
  Options options(kUsage, kAbout);
  add_options(options);
  if (!options.parse(arguments)) return 0;
  if (!options.given("data")) throw UsageError("attack needs --data DIR");
  AttackReport report;
  report.executed = bounds_rounding(options);
  report.spec = battery_spec(options);
  const AttackPasses passes = attack_passes(options);
  const auto corruptions = parse_corruptions(options.text("corruptions"),
                                             static_cast<uint64_t>(options.integer("seed", 0, int64_t{1} << 62)));
  const int64_t limit = options.integer("limit", 0, int64_t{1} << 40);
  require_writable(options, {"json", "save"}, {"MODEL", "data"});
  const data::Split split = parse_split(options.text("split"));
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  const Model model = io::load_model(options.text("MODEL"), *backend);
  note_nameless(model);
  const Shape input = model.graph->input();
  const auto dataset = in_order(open_for(model, options.text("data"), split), model);
  const Pixels pictures = open_pictures(model, *dataset, limit, report);
  AttackTarget target(model, passes);
  const MarginGeometry geometry(*model.graph);  // first, for it is quick: a network that has no bound is told at once
  std::vector<LogitError> errors;
  if (report.executed) errors = target.rounding_errors(pictures, report.spec.batch);
  const Stopwatch watch;
  ProgressLine progress;
  report.battery = run_battery(target, pictures, report.labels, report.spec,
                               [&](const std::string& name, double radius, int64_t done, int64_t total) {
                                 progress.show(fmt::format("{} at {:.4g}: {} of {} survivors, {}", name, radius, done,
                                                           total, clock_text(watch.seconds())));
                               });
  corrupt(corruptions, dataset, target, pictures, progress, report);
  certify_pictures(model, geometry, errors, report);
  progress.show("Lipschitz constant", true);
  std::vector<int64_t> starts;
  for (int64_t n = 0; n < std::min(kLipschitzStarts, pictures.count()); ++n) starts.push_back(n);
  const LipschitzFind found = lipschitz_search(target, pictures.at(starts), report.spec.key, {});
  report.lipschitz_found = found.quotient.value;
  if (report.executed) report.lipschitz_certain = certain_quotient(model, target, found);
  progress.clear();
  report.settings = {{"model", options.text("MODEL")},
                     {kModelDigest, model_digest(options.text("MODEL"))},
                     {"data", options.text("data")},
                     {"split", options.text("split")},
                     {"norm", "l2"},
                     {"radii", options.text("eps")},
                     {"battery", options.text("battery")},
                     {"limit", options.text("limit")},
                     {"corruptions", options.text("corruptions")},
                     {"arithmetic", report.executed ? "as executed" : "real"},
                     {"search", options.text("search")},
                     {"steps", options.text("steps")},
                     {"restarts", options.text("restarts")},
                     {"targets", options.text("targets")},
                     {"queries", options.text("queries")},
                     {"seed", options.text("seed")},
                     {"batch", options.text("batch")},
                     {"backend", backend->name()},
                     {"machine", backend->description()},
                     {"precision", to_string(backend->dtype())},
                     {"seconds", fmt::format("{:.1f}", watch.seconds())},
                     {"gsnet", GSNET_VERSION}};
  const std::string json = attack_json(report) + "\n";
  const bool to_stdout = options.text("json") == "-";
  fmt::print("{}", to_stdout ? json : attack_table(report));
  if (options.given("json") && !to_stdout) io::write_atomically(options.text("json"), json);
  if (options.given("save"))
    io::write_safetensors(options.text("save"), broken_pictures(report, input, model.info.order));
  const std::string violation = violation_text(report);
  GSNET_CHECK(violation.empty(), violation);
  return 0;
}

}  // namespace gsnet::apps
