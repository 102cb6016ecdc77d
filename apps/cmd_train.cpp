// gsnet train
#include <fmt/format.h>
#include <sys/resource.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "apps/command.h"
#include "apps/console.h"
#include "apps/data_source.h"
#include "apps/evaluate.h"
#include "apps/options.h"
#include "apps/recipe.h"
#include "apps/run_folder.h"
#include "io/model_file.h"
#include "io/safetensors.h"
#include "layers/architectures.h"

namespace gsnet::apps {
namespace {

struct Parts {
  std::shared_ptr<const data::Dataset> train, validation;
};

Parts split_data(const Recipe& recipe) {
  auto whole = open_named(recipe.data, data::Split::train, recipe.side, recipe.glyphs);
  if (recipe.limit > 0 && recipe.limit < whole->size()) {
    whole = data::hold_out(whole, recipe.limit, recipe.seed).held_out;
  }
  const int64_t count = recipe.validation > 0 ? recipe.validation : std::max<int64_t>(1, whole->size() / 10);
  GSNET_CHECK(count < whole->size(),
              fmt::format("data.validation asks for {} of {} training pictures", count, whole->size()));
  data::Holdout parts = data::hold_out(whole, count, recipe.seed);
  return {parts.rest, parts.held_out};
}

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

int64_t peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

class Run {
 public:
  Run(const Recipe& recipe, const Options& options)
      : recipe_(recipe),
        folder_(options.given("out") ? options.text("out") : "runs/" + recipe.name, options.has("resume")),
        backend_(make_backend(options.backend())),
        quiet_(options.has("quiet")) {
    parts_ = split_data(recipe_);
    complete(recipe_, *parts_.train);
    const data::PictureShape picture = parts_.train->picture();
    model_.info.class_names = parts_.train->class_names();
    model_.info.mean = recipe_.normalisation.mean;
    model_.info.stddev = recipe_.normalisation.stddev;
    build_network({picture.channels, picture.height, picture.width});
    loader_ = std::make_unique<data::Loader>(parts_.train,
                                             data::LoaderSpec{.batch = recipe_.batch,
                                                              .normalisation = recipe_.normalisation,
                                                              .augmentation = recipe_.augmentation,
                                                              .shuffle = true,
                                                              .drop_last = parts_.train->size() >= recipe_.batch,
                                                              .seed = recipe_.seed,
                                                              .threads = recipe_.loader_threads});
    recipe_.train.steps = recipe_.epochs * loader_->batches_per_epoch();
    trainer_ = std::make_unique<Trainer>(*model_.graph, recipe_.train);
    text_ = recipe_text(recipe_);
    if (options.has("resume") && folder_.has_checkpoint()) {
      state_ = folder_.load_checkpoint(*model_.graph, *trainer_, text_);
      folder_.rewind_log(state_.epoch);
    }
    folder_.prepare();
    folder_.write_recipe(text_);
  }

  int execute() {
    announce();
    const InterruptGuard guard;
    while (state_.epoch < recipe_.epochs) {
      if (!train_epoch(guard)) {
        save();
        progress_.clear();
        fmt::print("interrupted in epoch {}; everything is saved, go on with --resume\n", state_.epoch + 1);
        return kInterrupted;
      }
      finish_epoch();
    }
    fmt::print("best epoch {} (validation certified accuracy {:.2f} % at {:.4f}): {}\n", state_.best_epoch,
               100 * state_.best_score, recipe_.radius, folder_.model_path().string());
    return 0;
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

  void announce() {
    int64_t count = 0;
    for (const NamedParameter& named : parameters_of(*model_.graph)) count += named.parameter->value.numel();
    fmt::print("{}: {} training and {} validation pictures, {} classes; {} parameters; {} ({})\n", recipe_.name,
               parts_.train->size(), parts_.validation->size(), model_.info.class_names.size(), count, backend_->name(),
               backend_->description());
    std::fflush(stdout);
  }

  /// False when interrupted.
  bool train_epoch(const InterruptGuard& guard) {
    const Stopwatch watch;
    const double before = state_.seconds;
    const int64_t batches = loader_->batches_per_epoch(), samples_before = state_.samples;
    loader_->start_epoch(state_.epoch, state_.batch);
    while (auto batch = loader_->next()) {
      const StepResult result = trainer_->step(batch->images, batch->labels);
      ++state_.batch;
      state_.loss_sum += result.loss * static_cast<double>(result.samples);
      state_.samples += result.samples;
      state_.correct += result.correct;
      state_.seconds = before + watch.seconds();
      const double speed = static_cast<double>(state_.samples - samples_before) / watch.seconds();
      show(batches, speed);
      if (guard.interrupted() && state_.batch < batches) return false;
    }
    return !(guard.interrupted() && state_.epoch + 1 < recipe_.epochs && state_.batch < batches);
  }

  void show(int64_t batches, double speed) {
    if (!progress_.visible()) return;
    const int64_t left = (recipe_.epochs - state_.epoch) * batches - state_.batch;
    const auto samples = static_cast<double>(state_.samples);
    progress_.show(fmt::format("epoch {}/{}  {:3.0f} %  loss {:.4f}  accuracy {:.1f} %{}  {:.0f} images/s  {} left",
                               state_.epoch + 1, recipe_.epochs,
                               100.0 * static_cast<double>(state_.batch) / static_cast<double>(batches),
                               state_.loss_sum / samples, 100.0 * static_cast<double>(state_.correct) / samples,
                               last_certified_, speed, clock_text(static_cast<double>(left * recipe_.batch) / speed)));
  }

  void finish_epoch() {
    trainer_->check_parameters();
    const Stopwatch watch;
    const auto outcomes =
        evaluate(model_, parts_.validation, {.batch = recipe_.batch, .loader_threads = recipe_.loader_threads});
    const Accuracy validation = accuracy_of(outcomes, recipe_.radius);
    const auto samples = static_cast<double>(std::max<int64_t>(1, state_.samples));
    const int64_t epoch = state_.epoch + 1;
    nlohmann::ordered_json line = {{"epoch", epoch},
                                   {"step", trainer_->steps_done()},
                                   {"rate", trainer_->rate()},
                                   {"loss", state_.loss_sum / samples},
                                   {"accuracy", static_cast<double>(state_.correct) / samples},
                                   {"validation_loss", validation.loss},
                                   {"validation_accuracy", validation.clean},
                                   {"validation_certified", validation.certified},
                                   {"radius", recipe_.radius},
                                   {"seconds", state_.seconds},
                                   {"validation_seconds", watch.seconds()},
                                   {"peak_process_bytes", peak_bytes()},
                                   {"peak_tensor_bytes", backend_->memory()->stats().peak_bytes}};
    if (validation.certified > state_.best_score) {
      state_.best_score = validation.certified;
      state_.best_epoch = epoch;
      model_.info.provenance = {{"recipe", recipe_.name},
                                {"epoch", std::to_string(epoch)},
                                {"seed", std::to_string(recipe_.seed)},
                                {"backend", backend_->description()},
                                {"version", GSNET_VERSION}};
      io::save_model(folder_.model_path(), model_);
    }
    ++state_.epoch;
    const double epoch_loss = state_.loss_sum / samples, accuracy = static_cast<double>(state_.correct) / samples;
    state_.batch = state_.samples = state_.correct = 0;
    state_.loss_sum = 0;
    folder_.log(line.dump());
    save();
    last_certified_ = fmt::format("  certified {:.1f} %", 100 * validation.certified);
    progress_.clear();
    if (!quiet_) {
      fmt::print(
          "epoch {:3}/{}  loss {:8.4f}  accuracy {:5.1f} %  validation: clean {:5.1f} %  certified {:5.1f} %  {}\n",
          epoch, recipe_.epochs, epoch_loss, 100 * accuracy, 100 * validation.clean, 100 * validation.certified,
          clock_text(state_.seconds));
      std::fflush(stdout);
    }
  }

  void save() { folder_.save_checkpoint(*model_.graph, *trainer_, state_, text_); }

  Recipe recipe_;
  RunFolder folder_;
  std::unique_ptr<Backend> backend_;
  bool quiet_;
  Parts parts_;
  Model model_;
  std::unique_ptr<data::Loader> loader_;
  std::unique_ptr<Trainer> trainer_;
  std::string text_;
  RunState state_;
  ProgressLine progress_{quiet_};
  std::string last_certified_;
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
      .flag("resume", "go on from the run folder's checkpoint, or begin when there is none")
      .flag("quiet", "no progress")
      .machine();
  if (!options.parse(arguments)) return 0;
  Recipe recipe = read_recipe(options.text("RECIPE"), options.texts("set"));
  if (options.given("data")) recipe.data = options.text("data");
  return Run(recipe, options).execute();
}

}  // namespace gsnet::apps
