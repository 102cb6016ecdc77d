#include "apps/training_run.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/pace.h"
#include "core/error.h"

namespace gsnet::apps {

int64_t peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

TrainingRun::TrainingRun(Recipe recipe, const Options& options)
    : recipe_(std::move(recipe)),
      folder_(options.given("out") ? options.text("out") : "runs/" + recipe_.name, options.has("resume")),
      backend_(make_backend(options.backend())),
      quiet_(options.has("quiet")),
      resume_(options.has("resume")),
      progress_(quiet_) {}

void TrainingRun::start(Graph& graph, std::shared_ptr<const data::Dataset> train, std::shared_ptr<Objective> objective,
                        const std::string& base) {
  const bool drop_last = train->size() >= recipe_.batch;
  loader_ = std::make_unique<data::Loader>(std::move(train), data::LoaderSpec{.batch = recipe_.batch,
                                                                              .normalisation = recipe_.normalisation,
                                                                              .augmentation = recipe_.augmentation,
                                                                              .shuffle = true,
                                                                              .drop_last = drop_last,
                                                                              .seed = recipe_.seed,
                                                                              .threads = recipe_.loader_threads});
  graph_ = &graph;
  objective_ = std::move(objective);
  base_ = base;
  make_trainer();
  folder_.prepare();
  if (recipe_.minutes == 0) open_folder();
}

void TrainingRun::make_trainer() {
  recipe_.train.steps = recipe_.epochs * loader_->batches_per_epoch();
  trainer_.reset();
  trainer_ = std::make_unique<Trainer>(*graph_, recipe_.train, objective_);
}

void TrainingRun::open_folder() {
  text_ = recipe_text(recipe_) + (base_.empty() ? "" : fmt::format("# on the network {}\n", base_));
  if (resumes()) {
    state_ = folder_.load_checkpoint(*trainer_, text_);
    folder_.rewind_log(state_.epoch);
  }
  folder_.write_recipe(text_);
}

void TrainingRun::fit_epochs() {
  const double minutes = std::exchange(recipe_.minutes, 0);
  if (resumes()) {
    recipe_.epochs = read_recipe(folder_.recipe_path(), {}).epochs;
  } else {
    before_epoch(0);
    const double trial = std::min(20.0, 60 * minutes / 50);
    const Pace pace = measure_pace(*trainer_, *loader_, trial, [&] { validate(); });
    recipe_.epochs = epochs_within(minutes, pace, loader_->batches_per_epoch(), recipe_.epochs);
    if (!quiet_)
      fmt::print("{:g} minutes: {} epochs of {} batches, {:.3g} s each, and {:.3g} s of validation\n", minutes,
                 recipe_.epochs, loader_->batches_per_epoch(), pace.batch, pace.validation);
  }
  make_trainer();
  open_folder();
}

int TrainingRun::execute() {
  announce();
  std::fflush(stdout);
  if (recipe_.minutes > 0) fit_epochs();
  std::fflush(stdout);
  const InterruptGuard guard;
  while (state_.epoch < recipe_.epochs) {
    before_epoch(state_.epoch);
    if (!train_epoch(guard)) {
      save();
      return interrupted();
    }
    finish_epoch();
    if (guard.interrupted() && state_.epoch < recipe_.epochs) return interrupted();
  }
  return finish(state_);
}

int TrainingRun::interrupted() {
  progress_.clear();
  fmt::print("interrupted in epoch {}; everything is saved, go on with --resume\n", state_.epoch + 1);
  return kInterrupted;
}

bool TrainingRun::train_epoch(const InterruptGuard& guard) {
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
  return true;
}

void TrainingRun::show(int64_t batches, double speed) {
  if (!progress_.visible()) return;
  const int64_t left = (recipe_.epochs - state_.epoch) * batches - state_.batch;
  const auto samples = static_cast<double>(state_.samples);
  progress_.show(fmt::format("epoch {}/{}  {:3.0f} %  loss {:.4f}  accuracy {:.1f} %{}  {:.0f} images/s  {} left",
                             state_.epoch + 1, recipe_.epochs,
                             100.0 * static_cast<double>(state_.batch) / static_cast<double>(batches),
                             state_.loss_sum / samples, 100.0 * static_cast<double>(state_.correct) / samples, brief_,
                             speed, clock_text(static_cast<double>(left * recipe_.batch) / speed)));
}

void TrainingRun::finish_epoch() {
  trainer_->check_parameters();
  const Stopwatch watch;
  trainer_->forget_recording();  // its memory is validation's
  const Validation validation = validate();
  const auto samples = static_cast<double>(std::max<int64_t>(1, state_.samples));
  const int64_t epoch = state_.epoch + 1;
  const double loss = state_.loss_sum / samples, accuracy = static_cast<double>(state_.correct) / samples;
  nlohmann::ordered_json line = {{"epoch", epoch},
                                 {"step", trainer_->steps_done()},
                                 {"rate", trainer_->rate()},
                                 {"loss", loss},
                                 {"accuracy", accuracy}};
  for (const auto& [name, number] : validation.numbers) line[name] = number;
  line["seconds"] = state_.seconds;
  line["validation_seconds"] = watch.seconds();
  line["peak_process_bytes"] = peak_bytes();
  line["peak_tensor_bytes"] = backend_->memory()->stats().peak_bytes;
  if (validation.eligible && validation.score > state_.best_score) {
    state_.best_score = validation.score;
    state_.best_epoch = epoch;
    keep(epoch);
  }
  ++state_.epoch;
  state_.batch = state_.samples = state_.correct = 0;
  state_.loss_sum = 0;
  folder_.log(line.dump());
  save();
  brief_ = validation.brief;
  progress_.clear();
  if (quiet_) return;
  fmt::print("epoch {:3}/{}  loss {:8.4f}  accuracy {:5.1f} %  {}  {}\n", epoch, recipe_.epochs, loss, 100 * accuracy,
             validation.text, clock_text(state_.seconds));
  std::fflush(stdout);
}

void TrainingRun::save() { folder_.save_checkpoint(*trainer_, state_, text_); }

std::map<std::string, std::string> TrainingRun::provenance(int64_t epoch) const {
  return {{"recipe", recipe_.name},
          {"epoch", std::to_string(epoch)},
          {"seed", std::to_string(recipe_.seed)},
          {"backend", backend_->description()},
          {"precision", kPrecisions[static_cast<size_t>(recipe_.train.precision)]},
          {"version", GSNET_VERSION}};
}

}  // namespace gsnet::apps
