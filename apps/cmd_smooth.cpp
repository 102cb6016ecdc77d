// gsnet smooth
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/beside.h"
#include "apps/command.h"
#include "apps/console.h"
#include "apps/data_source.h"
#include "apps/evaluate.h"
#include "apps/options.h"
#include "apps/outputs.h"
#include "certify/smoothing_report.h"
#include "io/file.h"
#include "io/model_file.h"

namespace gsnet::apps {
namespace {

SmoothingSpec read_spec(const Options& options) {
  constexpr int64_t kMost = int64_t{1} << 40;
  SmoothingSpec spec;
  spec.sigma = parse_number(options.text("sigma"));
  spec.selection = options.integer("selection", 1, kMost);
  spec.estimation = options.integer("samples", 1, kMost);
  spec.alpha = parse_number(options.text("alpha"));
  if (!(spec.sigma > 0 && spec.sigma <= 16)) throw UsageError("--sigma must be above 0 and at most 16");
  if (!(spec.alpha > 0 && spec.alpha < 0.5)) throw UsageError("--alpha must be above 0 and below 1/2");
  spec.batch = options.integer("batch", 1, 100'000);
  spec.seed = static_cast<uint64_t>(options.integer("seed", 0, INT64_MAX));
  spec.stop_early = !options.has("all-samples");
  spec.threads = options.backend().threads;
  return spec;
}

void print_summary(const SmoothingSummary& summary) {
  fmt::print("images                  {}\n", summary.n);
  fmt::print("abstained               {}\n", summary.abstained);
  fmt::print("clean accuracy          {:.2f} % (smoothed)\n", 100 * summary.clean_accuracy);
  for (const auto& [radius, share] : summary.certified) {
    fmt::print("certified at {:<10} {:.2f} %\n", radius_text(radius), 100 * share);
  }
  fmt::print("mean certified radius   {:.4f}\n", summary.mean_certified_radius);
}

}  // namespace

int smooth_command(const std::vector<std::string>& arguments) {
  Options options(
      "smooth MODEL --data DIR [--sigma S] [--samples N] [--limit N] [--radii LIST] [--json FILE]",
      "Certified accuracy of the smoothed classifier: the model's majority vote under normal noise. Holds for any\n"
      "network, for each picture with probability 1 - alpha; the class may be withheld. Pixels in [0, 1], L2.");
  options.positional("MODEL", "a model file")
      .value("data", kDataHelp)
      .value("split", "train or test", "test")
      .value("limit", "the first N pictures only; 0: all", "0")
      .value("sigma", "deviation of the noise, pixels in [0, 1]", "0.25")
      .value("samples", "noisy pictures that bound the class's probability", "100000")
      .value("selection", "noisy pictures that choose the class", "100")
      .value("alpha", "chance of a wrong certificate, each picture", "0.001")
      .flag("all-samples", "draw all samples even where the picture will be abstained from")
      .value("seed", "of the noise", "0")
      .value("radii", "L2 radii, separated by commas", "36/255,72/255,108/255,1")
      .value("json", "file for the figures and every picture as JSON; - for standard output")
      .value("batch", "noisy pictures at a time", "256")
      .machine();
  if (!options.parse(arguments)) return 0;
  if (!options.given("data")) throw UsageError("smooth needs --data DIR");
  SmoothingReport report{.spec = read_spec(options), .samples = {}, .radii = parse_radii(options.text("radii"))};
  const data::Split split = parse_split(options.text("split"));
  const int64_t limit = options.integer("limit", 0, int64_t{1} << 40);
  require_writable(options, {"json"}, {"MODEL", "data"});
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  const Model model = io::load_model(options.text("MODEL"), *backend);
  note_nameless(model);
  const auto dataset = in_order(open_for(model, options.text("data"), split), model);
  check_fits(model, *dataset);
  const PictureSource pictures{limit > 0 ? std::min(limit, dataset->size()) : dataset->size(),
                               [&](int64_t i, std::span<uint8_t> pixels) { dataset->read(i, pixels); }};
  const Stopwatch watch;
  ProgressLine progress;
  const auto outcomes = smooth(model, pictures, report.spec, [&](int64_t done, int64_t most) {
    const double left = watch.seconds() * static_cast<double>(most - done) / static_cast<double>(done);
    progress.show(fmt::format("{} of {} noisy pictures, {} left", done, most, clock_text(left)));
  });
  progress.clear();
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    report.samples.push_back({index, dataset->name(index), dataset->label(index), outcomes[i]});
  }
  report.settings = {{"model", options.text("MODEL")},
                     {kModelDigest, model_digest(options.text("MODEL"))},
                     {"data", options.text("data")},
                     {"split", options.text("split")},
                     {"backend", backend->name()},
                     {"machine", backend->description()},
                     {"precision", to_string(backend->dtype())},
                     {"arithmetic of the certificate", "executed"},
                     {"stopped early", report.spec.stop_early ? "yes" : "no"},
                     {"batch", options.text("batch")},
                     {"seconds", fmt::format("{:.1f}", watch.seconds())},
                     {"gsnet", GSNET_VERSION}};
  for (const auto& [key, value] : model.info.provenance) report.settings.emplace_back("model: " + key, value);
  const bool to_stdout = options.text("json") == "-";
  if (to_stdout) fmt::print("{}", smoothing_json(report, true));
  if (!to_stdout) print_summary(summarise(report));
  if (options.given("json") && !to_stdout) io::write_atomically(options.text("json"), smoothing_json(report, true));
  return 0;
}

}  // namespace gsnet::apps
