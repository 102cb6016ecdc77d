// SGD with momentum and AdamW over a set of parameters; pairs of a LoRA by LoRA-Pro.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "layers/graph.h"
#include "train/lora_pro.h"

namespace gsnet {

enum class OptimiserKind : uint8_t { sgd, adamw };

struct OptimiserSpec {
  OptimiserKind kind = OptimiserKind::sgd;
  double rate = 0.1;
  /// Factor of the rate for scale-invariant parameters (orthogonal kernels, which only their direction matters of).
  double kernel_rate_factor = 1;
  double momentum = 0.9;
  bool nesterov = false;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;  ///< not applied where Parameter::decay is false
  /// Pairs of a LoRA are stepped by LoRA-Pro (train/lora_pro.h). With sgd, momentum is of their corrected gradients.
  /// With adamw, the moments are those of the gradient of the whole weight, of its size; decay shrinks B A by it, and
  /// leaves the base alone (the paper's code shrinks that too).
  bool lora_pro = false;

  bool operator==(const OptimiserSpec&) const = default;
};

class Optimiser {
 public:
  /// `pairs` are what spec.lora_pro is for: parameters among the others. Throws Error when there are none to it.
  Optimiser(Backend& backend, const OptimiserSpec& spec, std::vector<NamedParameter> parameters,
            std::vector<LowRankPair> pairs = {});

  /// One step at rate * factor for every trainable parameter with a gradient; gradients are dropped afterwards.
  void step(double factor);
  /// The same in parts, so that gradients can go as soon as they are complete: begin, update what is ready, finish.
  void begin(double factor);
  /// LoRA-Pro's pairs wait for finish(). What update() and finish() ask the machine to do is the same at every step,
  /// and reads what begin() put there.
  void update(Parameter& parameter);
  void finish();
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  /// Moments by name ("level1.conv0.kernel/momentum", …): what resuming needs besides steps().
  std::vector<NamedTensor> state();

 private:
  struct Slot {
    NamedParameter named;
    Tensor first, second;  // momentum, or the two moments of AdamW
  };
  struct PairSlot {
    LowRankPair pair;
    std::string name;      // of A
    Tensor first, second;  // of AdamW: moments of the weight's gradient, (groups m, n)
  };

  void update(Slot& slot);
  /// Puts LoRA-Pro's steps in the place of the gradients.
  void correct(const LowRankPair& pair);
  /// One step of AdamW on a pair; the gradients are dropped.
  void step_pair(PairSlot& slot, double rate);

  Backend& backend_;
  OptimiserSpec spec_;
  std::vector<Slot> slots_;
  std::vector<PairSlot> pairs_;
  std::unordered_map<const Parameter*, size_t> slot_of_;  // of those that no pair has
  int64_t steps_ = 0;
  double rate_ = 0;  // of the step that is under way
  Tensor pace_;      // the same for the machine, and AdamW's corrections
};

}  // namespace gsnet
