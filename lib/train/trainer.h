// One training step at a time: forward, loss, backward, update.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "layers/model.h"
#include "train/objective.h"
#include "train/optimiser.h"
#include "train/schedule.h"

namespace gsnet {

struct TrainSpec {
  LossSpec loss;
  OptimiserSpec optimiser;
  ScheduleSpec schedule;
  int64_t steps = 0;  ///< of the whole run: what the schedule is stretched over
  int segments = 0;   ///< TapeMode::segments: activations kept at so many places only; 0: all
  /// Of the products of orthogonal convolutions' series, forward and backward, but for groups that the machine has no
  /// such products for; weights, sums, activations and the optimiser's numbers are f32.
  Precision precision = Precision::f32;
};

struct StepResult {
  double loss = 0;
  int64_t samples = 0;
  int64_t correct = 0;
};

class Trainer {
 public:
  /// The graph must outlive the trainer. Without an objective the network's output is logits, trained by spec.loss.
  /// Throws Error for a precision that the graph's machine has not.
  Trainer(Graph& graph, const TrainSpec& spec, std::shared_ptr<Objective> objective = nullptr);

  /// One step on host tensors: images (N, C, H, W) channels-last normalised, labels (N) i32. Throws Error naming the
  /// step and the first layer whose output is not finite (or the loss); nothing has been updated then. After any other
  /// error (memory) some parameters may have been: restore them.
  StepResult step(const Tensor& images, const Tensor& labels);

  /// Throws Error naming the step and the first parameter that is not finite. step() sees what the step before it did;
  /// after the last one there is only this.
  void check_parameters();

  int64_t steps_done() const { return optimiser_.steps(); }
  double rate() const;
  /// Steps from now on add the time of their ops to it; null: no more.
  void set_profile(TapeProfile* profile) { profile_ = profile; }
  /// For checkpoints: with steps_done(), all that the next step depends on.
  Optimiser& optimiser() { return optimiser_; }
  /// The graph's tensors and the objective's. Whoever assigns them calls state_assigned().
  std::vector<NamedTensor> state() { return state_of(graph_, *objective_); }
  void state_assigned();
  Graph& graph() { return graph_; }

  /// Where the machine records, steps after the first ones of a shape are replays of one, unless their time is asked
  /// for: the same numbers. False where the network, the objective or the optimiser needs the host within a step.
  bool recorded() const { return recorded_.backward != nullptr; }
  /// Why not, where recording has been tried in vain; empty else.
  const std::string& why_not_recorded() const { return why_not_; }
  /// The next steps are done one by one again. To be called when the network itself has changed (a link of a weight
  /// enabled, another strength); that parameters are others, or trained or not, is noticed. A recording holds as much
  /// memory as a step, which is free again then.
  void forget_recording();

 private:
  /// What a recording assumes besides shapes: where tensors are, and which parameters are trained.
  using Places = std::vector<std::pair<const void*, bool>>;
  class Ending;
  struct Recorded {
    std::unique_ptr<Recording> forward, backward;
    Objective::Value value;
    Places places;
    std::vector<HostPart> host_parts;
    std::vector<Assumption> assumptions;
    size_t parts_of_graph = 0;  ///< the first of host_parts; the others are the objective's
    /// Whether a step, done now, would be the one that was recorded.
    bool is_same() const;
  };

  /// Again, with inputs kept, where an assumption turns out not to hold. With `into`, a step is being recorded, and
  /// whoever replays it asks.
  void forward(Recorded* into = nullptr);
  Var run_graph(bool again, std::vector<HostPart>* host_parts);
  void backward();
  /// Records a step on what images_ and labels_ hold; nothing of it is done.
  void record();
  Places places();
  StepResult result_of(const Objective::Value& value, const Tensor& labels);
  [[noreturn]] void explain(const Tensor& images, double loss);

  Graph& graph_;
  TrainSpec spec_;
  std::shared_ptr<Objective> objective_;
  std::vector<NamedParameter> parameters_;  // the graph's and the objective's
  Optimiser optimiser_;
  TapeProfile* profile_ = nullptr;

  // Of the step that is under way.
  Tensor images_;
  Labels labels_;
  std::unique_ptr<Tape> tape_;
  Objective::Value value_;

  bool records_;  // not tried in vain yet
  std::string why_not_;
  int warm_ = 0;  // steps of this shape done one by one
  Recorded recorded_;
};

/// How many rows of logits (N, K), a host tensor, have their largest element at the label; ties count as wrong.
int64_t count_correct(const Tensor& logits, const Tensor& labels);

}  // namespace gsnet
