// gsnet verify
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "apps/command.h"
#include "apps/console.h"
#include "apps/data_source.h"
#include "apps/embed.h"
#include "apps/open_model.h"
#include "apps/options.h"
#include "apps/outputs.h"
#include "apps/pair_scores.h"
#include "apps/verify_report.h"
#include "certify/margin.h"
#include "data/pairs.h"
#include "data/verification.h"
#include "io/file.h"
#include "io/safetensors.h"

namespace gsnet::apps {
namespace {

constexpr size_t kWorstShown = 12;
constexpr const char* kUsage =
    "verify MODEL (--pairs FILE --images FOLDER|TAR | --bin FILE) [--flip] [--corrupt KIND:SEVERITY]… [--report DIR]";
constexpr const char* kAbout =
    "Tells how well the network's embeddings say whether two pictures are of one person: accuracy over folds as LFW\n"
    "has it, TAR at FAR, on clean pictures and under corruptions; with --certify, how far a picture may change\n"
    "before the decision can. --report writes verify.html and verify.json. docs/faces.md tells the formats of lists.";

void add_options(Options& options) {
  options.positional("MODEL", "a model file, or an ONNX file that gsnet wrote")
      .value("pairs", "pairs.txt of LFW, or a list of \"path path 0|1\" lines")
      .value("images", "the folder or tar(.gz) of the pictures that the pairs name")
      .value("bin", "a verification pack of insightface instead, such as lfw.bin")
      .value("align", "landmarks to align the pictures by (docs/faces.md); without it they are aligned already")
      .value("folds", "pairs of these folds only, as 7-10 or 1,3,5-6; the first is 1 (all)")
      .flag("flip", "embed the mirror image too, and add both")
      .values("corrupt",
              "a common corruption besides, such as jpeg:3, or several with + between (docs/attacks.md); any number\n"
              "of times")
      .value("far", "rates at which TAR is told, separated by commas", "1e-1,1e-2,1e-3,1e-4")
      .flag("certify", "certificates of the decisions; minutes for a large network, whose bound is proven first")
      .value("threshold", "of the cosine, for certificates; otherwise chosen on the clean pairs")
      .value("radii", "L2 radii for certificates, separated by commas", "36/255,72/255")
      .value("report", "folder for verify.html and verify.json")
      .value("json", "file for the figures as JSON; - for standard output")
      .value("scores", "CSV file for every clean pair: names, cosine, and with --certify the radii of its decision")
      .value("seed", "of the corruptions", "0")
      .value("batch", "pictures at a time", "64")
      .machine();
}

std::vector<int> folds(const Options& options) {
  if (!options.given("folds")) return {};
  try {
    return data::parse_folds(options.text("folds"));
  } catch (const Error& error) {
    throw UsageError(std::string("--folds: ") + error.what());
  }
}

data::VerificationSet open_set(const Options& options, int side) {
  if (options.given("bin")) return data::open_verification_pack(options.text("bin"), side, folds(options));
  return data::open_verification(options.text("pairs"), options.text("images"),
                                 {.side = side, .landmarks = options.text("align"), .folds = folds(options)});
}

std::vector<data::CorruptionChain> corruptions(const Options& options) {
  std::vector<data::CorruptionChain> chains;
  const auto seed = static_cast<uint64_t>(options.integer("seed", 0, int64_t{1} << 62));
  std::set<std::string> seen;
  for (const std::string& text : options.texts("corrupt")) {
    if (text == "clean") continue;  // they are judged anyway
    chains.push_back(parse_chain(text, seed));
    if (!seen.insert(text).second) throw UsageError(fmt::format("--corrupt {} is given twice", text));
  }
  return chains;
}

std::vector<double> rates(const std::string& text) {
  std::vector<double> values;
  for (const std::string& part : split_list(text)) {
    values.push_back(parse_number(part));
    if (!(values.back() > 0 && values.back() < 1))
      throw UsageError(fmt::format("--far must be within (0, 1), got '{}'", part));
  }
  std::ranges::sort(values, std::greater<>());
  return values;
}

/// What a run needs besides its report.
struct Run {
  const Model& model;
  const data::VerificationSet& set;
  EmbedSpec spec;
};

Embeddings embed_condition(const Run& run, const std::shared_ptr<const data::Dataset>& pictures,
                           const std::string& name) {
  const Stopwatch watch;
  ProgressLine progress;
  return embed(run.model, pictures, run.spec, [&](int64_t done, int64_t total) {
    const double left = watch.seconds() * static_cast<double>(total - done) / static_cast<double>(done);
    progress.show(fmt::format("{}: embedded {} of {}, {} left", name, done, total, clock_text(left)));
  });
}

/// The threshold that calls most of the clean pairs right; 1 or -1 where that is to call all pairs the same.
double chosen_threshold(const VerifyCondition& clean) {
  return std::clamp(best_threshold(clean.pairs).threshold, -1.0, 1.0);
}

VerifyCertificates certificates_of(const Run& run, const Embeddings& made, const PairAngles& found, double threshold) {
  VerifyCertificates result;
  if (!(threshold > -1 && threshold < 1)) {
    result.missing = fmt::format("the threshold {} is no cosine inside (-1, 1)", threshold);
    return result;
  }
  try {
    UpperBound bound = run.model.graph->bounds().back().from_input * input_scale(run.model.info.stddev);
    if (run.spec.flip) bound = bound * UpperBound::proven(2);  // a mirror image moves as far as its picture
    result.lipschitz = bound.value();
    const std::vector<double> norms =
        run.model.graph->backend().sample_norms(run.model.graph->backend().upload(made.rows));
    for (size_t i = 0; i < found.pairs.size(); ++i) {
      const double first = norms[static_cast<size_t>(found.pairs[i].first)];
      const double second = norms[static_cast<size_t>(found.pairs[i].second)];
      result.pairs.push_back(certify_verification({found.angles[i], threshold, first, second}, bound));
    }
  } catch (const Error& error) {
    result = {};
    result.missing = error.what();
  }
  return result;
}

/// The part of a path after its last slash, without the ending.
std::string short_name(const std::string& path) { return std::filesystem::path(path).stem().string(); }

void add_worst(const Run& run, const PairAngles& found, VerifyReport& report) {
  std::vector<size_t> order(found.pairs.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, {}, [&](size_t i) { return found.angles[i]; });  // most alike first
  const auto add = [&](size_t i, std::vector<WorstPair>& to) {
    const data::PicturePair& pair = found.pairs[i];
    const data::Dataset& pictures = *run.set.pictures;
    to.push_back({thumbnail(pictures, pair.first), thumbnail(pictures, pair.second),
                  short_name(pictures.name(pair.first)) + ", " + short_name(pictures.name(pair.second)),
                  std::cos(found.angles[i])});
  };
  for (const size_t i : order) {
    if (!found.pairs[i].same && report.most_alike.size() < kWorstShown) add(i, report.most_alike);
  }
  std::ranges::reverse(order);
  for (const size_t i : order) {
    if (found.pairs[i].same && report.least_alike.size() < kWorstShown) add(i, report.least_alike);
  }
}

/// A line a pair, in the order of the list; radii where there are certificates.
std::string scores_csv(const data::VerificationSet& set, const PairAngles& found, const VerifyReport& report) {
  const std::vector<VerificationCertificate>& certificates = report.certificates.pairs;
  std::string csv = "first,second,same,fold,cosine,one_radius,both_radius\n";
  for (size_t i = 0; i < found.pairs.size(); ++i) {
    const data::PicturePair& pair = found.pairs[i];
    csv += fmt::format("{},{},{},{},{}", csv_field(set.pictures->name(pair.first)),
                       csv_field(set.pictures->name(pair.second)), pair.same ? 1 : 0, pair.fold + 1,
                       std::cos(found.angles[i]));
    csv += certificates.empty() ? ",,\n" : fmt::format(",{},{}\n", certificates[i].one_l2, certificates[i].both_l2);
  }
  return csv;
}

std::string list_of(const Options& options) { return options.text(options.given("bin") ? "bin" : "pairs"); }

void judge_clean(const Run& run, const Options& options, VerifyReport& report) {
  const Embeddings made = embed_condition(run, run.set.pictures, "clean");
  for (const auto& [picture, reason] : made.unreadable) {
    report.unreadable.emplace_back(run.set.pictures->name(picture), reason);
  }
  const PairAngles found = angles_of(run.set, made, list_of(options));
  report.pairs_unreadable = std::ssize(run.set.pairs) - std::ssize(found.pairs);
  VerifyCondition clean = condition_of("clean", found);
  if (!report.threshold_given) report.threshold = chosen_threshold(clean);
  judge(clean, report.folds, report.fars, report.threshold);
  report.conditions.push_back(std::move(clean));
  if (options.has("certify")) {
    report.certificates = certificates_of(run, made, found, report.threshold);
  } else {
    report.certificates.missing = "not asked for (--certify)";
  }
  if (options.given("report")) add_worst(run, found, report);
  if (options.given("scores")) io::write_atomically(options.text("scores"), scores_csv(run.set, found, report));
}

void check_use(const Options& options) {
  if (options.given("bin") == (options.given("pairs") || options.given("images")))
    throw UsageError("verify needs either --pairs FILE and --images FOLDER|TAR, or --bin FILE");
  if (!options.given("bin") && !(options.given("pairs") && options.given("images")))
    throw UsageError("--pairs and --images go together");
  if (options.given("bin") && options.given("align")) throw UsageError("the pictures of a pack are aligned already");
}

std::vector<std::pair<std::string, std::string>> settings_of(const Options& options, const Run& run, double seconds) {
  const Backend& backend = run.model.graph->backend();
  std::vector<std::pair<std::string, std::string>> settings = {
      {"model", options.text("MODEL")},
      {"pairs", list_of(options)},
      {"images", options.given("bin") ? options.text("bin") : options.text("images")},
      {"aligned by", options.given("align") ? options.text("align") : "nothing"},
      {"folds", options.given("folds") ? options.text("folds") : "all"},
      {"mirror images added", run.spec.flip ? "yes" : "no"},
      {"order of channels", run.model.info.order == ChannelOrder::bgr ? "bgr" : "rgb"},
      {"seed of corruptions", options.text("seed")},
      {"backend", backend.name()},
      {"machine", backend.description()},
      {"precision", to_string(backend.dtype())},
      {"batch", options.text("batch")},
      {"seconds", fmt::format("{:.1f}", seconds)},
      {"gsnet", GSNET_VERSION}};
  for (const auto& [key, value] : run.model.info.provenance) settings.emplace_back("model: " + key, value);
  return settings;
}

void write(const Options& options, const VerifyReport& report) {
  const bool to_stdout = options.text("json") == "-";
  fmt::print("{}", to_stdout ? verify_json(report) : verify_table(report));
  if (options.given("json") && !to_stdout) io::write_atomically(options.text("json"), verify_json(report));
  if (!options.given("report")) return;
  const std::filesystem::path folder = options.text("report");
  io::write_together({{folder / "verify.json", verify_json(report)}, {folder / "verify.html", verify_html(report)}});
  if (!to_stdout) fmt::print("report                  {}\n", (folder / "verify.html").string());
}

}  // namespace

int verify_command(const std::vector<std::string>& arguments) {
  Options options(kUsage, kAbout);
  add_options(options);
  if (!options.parse(arguments)) return 0;
  check_use(options);
  folds(options);  // so that wrong ones are told before a model is read
  VerifyReport report;
  report.fars = rates(options.text("far"));
  report.radii = parse_radii(options.text("radii"));
  report.threshold_given = options.given("threshold");
  if (report.threshold_given) report.threshold = parse_number(options.text("threshold"));
  if (!(std::abs(report.threshold) <= 1))
    throw UsageError(fmt::format("--threshold must be a cosine within [-1, 1], got '{}'", options.text("threshold")));
  const std::vector<data::CorruptionChain> chains = corruptions(options);
  if (options.given("report")) make_report_folder(options.text("report"));
  require_writable(options, {"json", "scores"}, {"MODEL", "pairs", "images", "bin", "align"});
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  const Model model = open_model(options.text("MODEL"), *backend);
  const Stopwatch watch;
  const data::VerificationSet set = open_set(options, face_side(model));
  const Run run{model, set, {.batch = options.integer("batch", 1, 100'000), .flip = options.has("flip")}};
  report.title = "Face verification by " + std::filesystem::path(options.text("MODEL")).filename().string();
  report.folds = set.folds;
  report.pictures = set.pictures->size();
  report.pairs_left_out = set.pairs_left_out;
  report.missing = set.missing;
  report.landmarks_unused = set.landmarks_unused;
  judge_clean(run, options, report);
  for (const data::CorruptionChain& chain : chains) {
    const Embeddings made = embed_condition(run, data::corrupted(set.pictures, chain), to_string(chain));
    VerifyCondition condition = condition_of(to_string(chain), angles_of(run.set, made, list_of(options)));
    judge(condition, report.folds, report.fars, report.threshold);
    report.conditions.push_back(std::move(condition));
  }
  report.settings = settings_of(options, run, watch.seconds());
  write(options, report);
  return 0;
}

}  // namespace gsnet::apps
