// gsnet train
#include <fmt/format.h>

#include <numbers>

#include "apps/command.h"
#include "apps/data_source.h"
#include "apps/evaluate.h"
#include "apps/training_data.h"
#include "apps/training_run.h"
#include "io/model_file.h"
#include "layers/architectures.h"

namespace gsnet::apps {
namespace {

/// Fills in what depends on the data: normalisation, and the loss's offset from its radius.
void complete(Recipe& recipe, const data::Dataset& dataset) {
  if (recipe.normalisation.mean.empty()) recipe.normalisation = usual_normalisation(dataset);
  GSNET_CHECK(recipe.normalisation.mean.size() == static_cast<size_t>(dataset.picture().channels),
              fmt::format("data.mean has {} entries, the pictures have {} channels", recipe.normalisation.mean.size(),
                          dataset.picture().channels));
  if (recipe.offset_radius > 0) {
    recipe.train.loss.cross_entropy.offset =
        std::numbers::sqrt2 * recipe.offset_radius * input_scale(recipe.normalisation.stddev).value();
  }
}

class ClassifierRun final : public TrainingRun {
 public:
  ClassifierRun(const Recipe& recipe, const Options& options) : TrainingRun(recipe, options) {
    parts_ = split_data(recipe_);
    complete(recipe_, *parts_.train);
    const data::PictureShape picture = parts_.train->picture();
    model_.info.class_names = parts_.train->class_names();
    model_.info.mean = recipe_.normalisation.mean;
    model_.info.stddev = recipe_.normalisation.stddev;
    build_network({picture.channels, picture.height, picture.width});
    start(*model_.graph, parts_.train);
  }

 private:
  void build_network(const Shape& input) {
    try {
      model_.info.description = make_architecture(recipe_.architecture, recipe_.model, input,
                                                  static_cast<int64_t>(model_.info.class_names.size()));
      model_.graph = std::make_unique<Graph>(model_.info.description, *backend_, RandomKey(recipe_.seed));
    } catch (const Error& error) {
      throw Error(fmt::format("{}: [model]: {}", recipe_.file, error.what()));
    }
  }

  void announce() override {
    for (const std::string& note : parts_.notes) fmt::print("{}\n", note);
    int64_t count = 0;
    for (const NamedParameter& named : parameters_of(*model_.graph)) count += named.parameter->value.numel();
    const char* const named_precision = kPrecisions[static_cast<size_t>(recipe_.train.precision)];
    const std::string precision =
        recipe_.train.precision == Precision::f32 ? "" : fmt::format(", products of {}", named_precision);
    fmt::print("{}: {} training and {} validation pictures, {} classes; {} parameters; {} ({}){}\n", recipe_.name,
               parts_.train->size(), parts_.validation->size(), model_.info.class_names.size(), count, backend_->name(),
               backend_->description(), precision);
  }

  Validation validate() override {
    const auto outcomes =
        evaluate(model_, parts_.validation, {.batch = recipe_.batch, .loader_threads = recipe_.loader_threads});
    const Accuracy found = accuracy_of(outcomes, recipe_.radius);
    return {.score = found.certified,
            .numbers = {{"validation_loss", found.loss},
                        {"validation_accuracy", found.clean},
                        {"validation_certified", found.certified},
                        {"radius", recipe_.radius}},
            .text = fmt::format("validation: clean {:5.1f} %  certified {:5.1f} %", 100 * found.clean,
                                100 * found.certified),
            .brief = fmt::format("  certified {:.1f} %", 100 * found.certified)};
  }

  void keep(int64_t epoch) override {
    model_.info.provenance = provenance(epoch);
    io::save_model(folder_.model_path(), model_);
  }

  int finish(const RunState& state) override {
    fmt::print("best epoch {} (validation certified accuracy {:.2f} % at {:.4f}): {}\n", state.best_epoch,
               100 * state.best_score, recipe_.radius, folder_.model_path().string());
    return 0;
  }

  Parts parts_;
  Model model_;
};

}  // namespace

int train_command(const std::vector<std::string>& arguments) {
  Options options(
      "train RECIPE.toml [--data DIR] [--out DIR] [--set key=value …] [--resume]",
      "Trains a classifier and keeps the model with the best certified accuracy on pictures held out of the\n"
      "training set. The run folder holds recipe.toml, log.jsonl, checkpoint.safetensors and model.safetensors.\n"
      "Ctrl-C saves and exits with 130; --resume goes on bit for bit as if never stopped.\n\n"
      "A recipe's keys and what they are when left out; docs/recipes.md explains them and lists [model]'s:\n\n" +
          recipe_text({}));
  options.positional("RECIPE", "a TOML file; its keys are above")
      .value("data", std::string("in place of the recipe's; ") + kDataHelp)
      .value("out", "run folder (runs/NAME)")
      .values("set", "key=value, in place of a recipe's entry: --set run.epochs=3")
      .value("precision", "f32, tf32 or bf16 in training, in place of the recipe's run.precision")
      .flag("resume", "go on from the run folder's checkpoint, or begin when there is none")
      .flag("quiet", "no progress")
      .machine();
  if (!options.parse(arguments)) return 0;
  std::vector<std::string> settings = options.texts("set");
  if (options.given("precision")) settings.push_back("run.precision=" + options.text("precision"));
  Recipe recipe = read_recipe(options.text("RECIPE"), settings);
  GSNET_CHECK(!recipe.adapt, fmt::format("{}: [adapter] is for gsnet adapt", recipe.file));
  GSNET_CHECK(!recipe.face, fmt::format("{}: [face] is for gsnet adapt", recipe.file));
  if (options.given("data")) recipe.data = options.text("data");
  return ClassifierRun(recipe, options).execute();
}

}  // namespace gsnet::apps
