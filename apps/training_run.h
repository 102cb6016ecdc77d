// What all trainings share: data, epochs, progress, log, checkpoints, and going on after an interruption.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/console.h"
#include "apps/options.h"
#include "apps/recipe.h"
#include "apps/run_folder.h"
#include "data/loader.h"
#include "layers/model.h"

namespace gsnet::apps {

class TrainingRun {
 public:
  virtual ~TrainingRun() = default;
  TrainingRun(const TrainingRun&) = delete;
  TrainingRun& operator=(const TrainingRun&) = delete;

  /// Returns the exit code.
  int execute();

 protected:
  /// Options: --out, --resume, --quiet and the machine's.
  TrainingRun(Recipe recipe, const Options& options);

  /// To be called by the end of the constructor, when the network is there: makes loader, trainer
  /// and the folder.
  /// `base` tells by its numbers what the network was before, where it is not drawn at random: no other run may go on.
  void start(Graph& graph, std::shared_ptr<const data::Dataset> train, std::shared_ptr<Objective> objective = nullptr,
             const std::string& base = {});

  struct Validation {
    double score = 0;                                     ///< the larger, the better
    bool eligible = true;                                 ///< whether the network may be kept
    std::vector<std::pair<std::string, double>> numbers;  ///< for the log
    std::string text;                                     ///< for the epoch's line
    std::string brief;                                    ///< for the progress
  };
  virtual void announce() = 0;
  virtual Validation validate() = 0;
  /// The network is the best so far: keep it.
  virtual void keep(int64_t epoch) = 0;
  virtual void before_epoch(int64_t epoch) { (void)epoch; }
  /// After the last epoch. Returns the exit code.
  virtual int finish(const RunState& state) = 0;

  /// Whether start() will go on from a checkpoint.
  bool resumes() const { return resume_ && folder_.has_checkpoint(); }
  /// Where a kept model comes from.
  std::map<std::string, std::string> provenance(int64_t epoch) const;

  Recipe recipe_;
  RunFolder folder_;
  std::unique_ptr<Backend> backend_;
  bool quiet_;
  std::unique_ptr<Trainer> trainer_;

 private:
  /// Cuts recipe_.epochs to what fits into recipe_.minutes, of which nothing is said any more from then on: the same
  /// recipe gives the same bits, wherever it is run.
  void fit_epochs();
  void make_trainer();
  /// Goes on from a checkpoint if asked to; writes the recipe.
  void open_folder();
  /// False when interrupted.
  bool train_epoch(const InterruptGuard& guard);
  int interrupted();
  void show(int64_t batches, double speed);
  void finish_epoch();
  void save();

  Graph* graph_ = nullptr;
  std::shared_ptr<Objective> objective_;
  std::string base_;
  std::unique_ptr<data::Loader> loader_;
  std::string text_;
  RunState state_;
  bool resume_;
  ProgressLine progress_;
  std::string brief_;
};

/// The largest resident memory of the process so far.
int64_t peak_bytes();

}  // namespace gsnet::apps
