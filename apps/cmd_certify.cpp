// gsnet certify
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "apps/beside.h"
#include "apps/command.h"
#include "apps/console.h"
#include "apps/data_source.h"
#include "apps/evaluate.h"
#include "apps/layer_table.h"
#include "apps/options.h"
#include "apps/outputs.h"
#include "certify/report.h"
#include "io/file.h"
#include "io/model_file.h"
#include "io/safetensors.h"

namespace gsnet::apps {
namespace {

constexpr int64_t kPicturesShown = 12;

void add_pictures(CertificationReport& report, const data::Dataset& dataset) {
  std::vector<int64_t> right;
  for (size_t i = 0; i < report.samples.size(); ++i) {
    const CertifiedSample& sample = report.samples[i];
    if (sample.predicted == sample.label && sample.radius_l2 > 0) right.push_back(static_cast<int64_t>(i));
  }
  std::ranges::stable_sort(right, std::greater<>(),
                           [&](int64_t i) { return report.samples[static_cast<size_t>(i)].radius_l2; });
  const auto count = std::min<int64_t>(kPicturesShown, static_cast<int64_t>(right.size()));
  for (int64_t i = 0; i < count; ++i) {
    report.most_certain.push_back(thumbnail(dataset, right[static_cast<size_t>(i)]));
    report.least_certain.push_back(thumbnail(dataset, right[right.size() - 1 - static_cast<size_t>(i)]));
  }
}

void print_summary(const CertificationReport& report, const CertificationSummary& summary) {
  fmt::print("images                  {}\n", summary.n);
  fmt::print("clean accuracy          {:.2f} %\n", 100 * summary.clean_accuracy);
  for (size_t i = 0; i < summary.certified.size(); ++i) {
    const auto& [radius, share] = summary.certified[i];
    const std::string executed =
        report.executed ? fmt::format("   as executed {:.2f} %", 100 * summary.certified_executed[i]) : "";
    fmt::print("certified at {:<10} {:.2f} %{}\n", radius_text(radius), 100 * share, executed);
  }
  const std::string executed =
      report.executed ? fmt::format("    as executed {:.4f}", summary.mean_executed_radius) : "";
  fmt::print("mean certified radius   {:.4f}{}\n", summary.mean_certified_radius, executed);
  fmt::print("Lipschitz bound         {:.6g} (network {:.8g}, input scale included)\n", report.lipschitz_bound,
             report.network_bound);
}

/// What is known before the work.
void describe(const Model& model, const Backend& backend, const Options& options, CertificationReport& report) {
  report.settings = {{"model", options.text("MODEL")},
                     {kModelDigest, model_digest(options.text("MODEL"))},
                     {"data", options.text("data")},
                     {"split", options.text("split")},
                     {"corruption", options.text("corruption").empty() ? "none" : options.text("corruption")},
                     {"images", std::to_string(report.samples.size())},
                     {"backend", backend.name()},
                     {"machine", backend.description()},
                     {"precision", to_string(backend.dtype())},
                     {"arithmetic of the certificate", report.executed ? "real, and as executed" : "real"},
                     {"batch", options.text("batch")},
                     {"gsnet", GSNET_VERSION}};
  for (const auto& [key, value] : model.info.provenance) report.settings.emplace_back("model: " + key, value);
}

}  // namespace

int certify_command(const std::vector<std::string>& arguments) {
  Options options(
      "certify MODEL --data DIR [--split test] [--limit N] [--radii LIST] [--report DIR] [--json FILE]",
      "Certified accuracy: the share of pictures whose class is right and provably stays so under every change\n"
      "of at most that L2 norm (pixels in [0, 1]). --report writes report.html and report.json.");
  options.positional("MODEL", "a model file")
      .value("data", kDataHelp)
      .value("split", "train or test", "test")
      .value("corruption", "a common corruption of the pictures, such as jpeg:3 (docs/attacks.md)")
      .value("limit", "the first N pictures only; 0: all", "0")
      .value("radii", "L2 radii, separated by commas", "36/255,72/255,108/255,1")
      .value("beside", "JSON files of gsnet attack and gsnet smooth on the same pictures, to be shown too")
      .value("broken", "what gsnet attack --save wrote of the same pictures: the nearest are shown in the report")
      .value("report", "folder for report.html and report.json")
      .value("json", "file for the figures as JSON; - for standard output")
      .value("arithmetic", "real, or both: radii for the arithmetic that ran besides, rounding errors bounded", "both")
      .value("batch", "pictures at a time", "128")
      .machine();
  if (!options.parse(arguments)) return 0;
  if (!options.given("data")) throw UsageError("certify needs --data DIR");
  CertificationReport report;
  report.executed = bounds_rounding(options);
  report.radii = parse_radii(options.text("radii"));
  const data::Split split = parse_split(options.text("split"));
  if (options.given("broken") && !options.given("report")) throw UsageError("--broken needs --report DIR");
  if (options.given("report")) make_report_folder(options.text("report"));
  require_writable(options, {"json"}, {"MODEL", "data", "beside", "broken"});
  for (const char* name : {"beside", "broken"}) {  // what is not there is told before the work
    for (const std::string& file : split_list(options.text(name))) {
      if (!file.empty()) const io::InputFile probe(file);
    }
  }
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  const Model model = io::load_model(options.text("MODEL"), *backend);
  note_nameless(model);
  const auto dataset = open_corrupted(open_for(model, options.text("data"), split), options.text("corruption"), 0);
  const int64_t limit = options.integer("limit", 0, int64_t{1} << 40);
  const int64_t count = limit == 0 ? dataset->size() : std::min(limit, dataset->size());
  for (int64_t i = 0; i < count; ++i) report.samples.push_back({i, dataset->name(i), dataset->label(i)});
  describe(model, *backend, options, report);
  if (options.given("beside")) report.beside = read_comparisons(options.text("beside"), report);
  const EvaluateSpec spec{.limit = limit, .batch = options.integer("batch", 1, 100'000), .executed = report.executed};
  const Stopwatch watch;
  ProgressLine progress;
  const auto outcomes = evaluate(model, dataset, spec, [&](int64_t done, int64_t total) {
    progress.show(fmt::format("certified {} of {}", done, total));
  });
  progress.clear();
  report.settings.emplace_back("seconds", fmt::format("{:.1f}", watch.seconds()));
  for (size_t i = 0; i < outcomes.size(); ++i) {
    report.samples[i].predicted = outcomes[i].certificate.predicted;
    report.samples[i].radius_l2 = outcomes[i].certificate.radius_l2;
    report.samples[i].root2_radius_l2 = outcomes[i].certificate.root2_radius_l2;
    report.samples[i].executed_radius_l2 = outcomes[i].certificate.executed_radius_l2;
  }
  const MarginGeometry geometry(*model.graph);
  report.title = "Certified robustness of " + std::filesystem::path(options.text("MODEL")).filename().string();
  report.class_names = model.info.class_names.empty() ? dataset->class_names() : model.info.class_names;
  report.network_bound = geometry.network().value();
  report.lipschitz_bound = (geometry.network() * input_scale(model.info.stddev)).value();
  report.layers = layer_rows(*model.graph);
  const bool to_stdout = options.text("json") == "-";
  if (!to_stdout) print_summary(report, summarise(report));
  check_attacks(report);
  if (to_stdout) fmt::print("{}\n", report_json(report, false));
  if (options.given("json") && !to_stdout)
    io::write_atomically(options.text("json"), report_json(report, false) + "\n");
  if (options.given("report")) {
    add_pictures(report, *dataset);
    if (options.given("broken")) {
      const bool reversed = model.info.order == ChannelOrder::bgr;
      report.broken = read_broken(options.text("broken"), report, *dataset, reversed, kPicturesShown);
    }
    const std::filesystem::path folder = options.text("report");
    io::write_together(
        {{folder / "report.json", report_json(report, true) + "\n"}, {folder / "report.html", report_html(report)}});
    if (!to_stdout) fmt::print("report                  {}\n", (folder / "report.html").string());
  }
  return 0;
}

}  // namespace gsnet::apps
