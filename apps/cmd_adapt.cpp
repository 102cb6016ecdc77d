// gsnet adapt
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/adapt_run.h"
#include "apps/command.h"
#include "apps/data_source.h"
#include "apps/evaluate.h"
#include "apps/face_run.h"
#include "apps/training_data.h"
#include "io/model_file.h"

namespace gsnet::apps {
namespace {

/// A classifier: pictures held out choose the epoch, the test pictures judge it.
class ClassifierAdaptRun final : public AdaptRun {
 public:
  ClassifierAdaptRun(const Recipe& recipe, const std::string& base, const Options& options)
      : AdaptRun(recipe, base, options) {
    parts_ = split_data(recipe_);
    build(parts_.train->class_names());
    check_fits(adapted(), *parts_.train);
    test_ = test_part(recipe_, parts_);
    if (test_) check_fits(adapted(), *test_);
    begin(parts_.train);
  }

 private:
  void announce() override {
    for (const std::string& note : parts_.notes) fmt::print("{}\n", note);
    fmt::print("{}: {} on {}; {} training and {} validation pictures, {} classes; {} ({})\n", recipe_.name,
               adapt().method, base_path(), parts_.train->size(), parts_.validation->size(),
               adapted().info.class_names.size(), backend_->name(), backend_->description());
    announce_layers();
  }

  Validation validate() override {
    const Accuracy found = measure(adapted(), parts_.validation, evaluation());
    return {.score = found.clean,
            .numbers = {{"validation_loss", found.loss}, {"validation_accuracy", found.clean}},
            .text = fmt::format("validation: {:5.1f} %", 100 * found.clean),
            .brief = fmt::format("  validation {:.1f} %", 100 * found.clean)};
  }

  EvaluateSpec evaluation() const { return {.batch = recipe_.batch, .loader_threads = recipe_.loader_threads}; }

  /// On test pictures as the recipe corrupts them, and on clean ones: what was won, and what was lost.
  std::string test(const Model& after) override {
    nlohmann::ordered_json result = {{"accuracy", nlohmann::ordered_json::object()}};
    if (!test_) return result.dump();
    const Model before = io::load_model(base_path(), *backend_);
    std::vector<std::pair<std::string, std::shared_ptr<const data::Dataset>>> sets = {{"test", test_}};
    if (!recipe_.corruption.empty()) {
      sets = {{recipe_.corruption, open_corrupted(test_, recipe_.corruption, recipe_.seed)}, {"clean", test_}};
    }
    for (const auto& [name, set] : sets) {
      const double now = measure(after, set, evaluation()).clean;
      const std::string then =
          keeps_head() ? fmt::format("{:6.2f} % before, ", 100 * measure(before, set, evaluation()).clean) : "";
      fmt::print("{:<32} {}{:6.2f} % after\n", fmt::format("{} ({} pictures)", name, set->size()), then, 100 * now);
      result["accuracy"][name] = now;
    }
    return result.dump();
  }

  Parts parts_;
  std::shared_ptr<const data::Dataset> test_;  // null: there is none
};

}  // namespace

int adapt_command(const std::vector<std::string>& arguments) {
  Options options(
      "adapt MODEL [--recipe R.toml] [--adapter KIND] [--data DIR] [--out DIR] [--merged FILE] [--set key=value …]",
      "Fine-tunes a pretrained network: trains an adapter (gsoft, double_gsoft, oft, boft, lora, dora), all weights\n"
      "(full) or the head alone (head), and keeps the best epoch on pictures held out. The run folder holds\n"
      "recipe.toml, log.jsonl, checkpoint.safetensors, adapter.safetensors (full: model.safetensors) and result.json.\n"
      "`gsnet merge` folds the adapter into the network, as --merged does in the end. A recipe with [face] trains\n"
      "embeddings of faces (docs/faces.md). docs/adapters.md explains kinds, settings and patterns.");
  options.positional("MODEL", "a model file (gsnet import makes one of ONNX and PyTorch files)")
      .value("recipe", "a TOML file: [adapter] and the tables of gsnet train")
      .value("adapter", "kind of adapter, in place of the recipe's")
      .value("data", std::string("in place of the recipe's; ") + kDataHelp)
      .value("out", "run folder (runs/NAME)")
      .value("merged", "where the adapted network is written in the end: an .onnx or .safetensors file")
      .values("set", "key=value, in place of a recipe's entry: --set adapter.block=8")
      .flag("resume", "go on from the run folder's checkpoint, or begin when there is none")
      .flag("quiet", "no progress")
      .machine();
  if (!options.parse(arguments)) return 0;
  std::vector<std::string> settings = options.texts("set");
  if (options.given("adapter")) settings.insert(settings.begin(), "adapter.kind=\"" + options.text("adapter") + "\"");
  Recipe recipe = read_recipe(options.text("recipe"), settings);
  if (recipe.name.empty()) recipe.name = "adapt";
  if (!recipe.adapt) throw UsageError("adapt needs --adapter KIND, or a recipe with [adapter]");
  if (options.given("data")) recipe.data = options.text("data");
  if (recipe.face) return FaceRun(recipe, options.text("MODEL"), options).execute();
  return ClassifierAdaptRun(recipe, options.text("MODEL"), options).execute();
}

}  // namespace gsnet::apps
