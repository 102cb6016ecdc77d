// SGD with momentum and AdamW over a set of parameters.
#pragma once

#include <string>
#include <vector>

#include "layers/graph.h"

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

  bool operator==(const OptimiserSpec&) const = default;
};

class Optimiser {
 public:
  Optimiser(Backend& backend, const OptimiserSpec& spec, std::vector<NamedParameter> parameters);

  /// One step at rate * factor for every trainable parameter with a gradient; gradients are dropped afterwards.
  void step(double factor);
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  /// Moments by name ("level1.conv0.kernel/momentum", …): what resuming needs besides steps().
  std::vector<NamedTensor> state();

 private:
  struct Slot {
    NamedParameter named;
    Tensor first, second;  // momentum, or the two moments of AdamW
  };

  Backend& backend_;
  OptimiserSpec spec_;
  std::vector<Slot> slots_;
  int64_t steps_ = 0;
};

}  // namespace gsnet
