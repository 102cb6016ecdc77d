// Objective: what a network's output is trained towards. It may own parameters, such as a face head's class centres.
#pragma once

#include <vector>

#include "layers/graph.h"
#include "train/loss.h"

namespace gsnet {

/// (N) i32, on the host and in the memory of the machine.
struct Labels {
  Tensor host, machine;

  Labels() = default;
  Labels(Backend& backend, const Tensor& labels) : host(labels), machine(backend.upload(labels)) {}
};

class Objective {
 public:
  struct Value {
    Var loss;             ///< (1): the mean over the batch
    Tensor scores;        ///< (N, K) without margins or offsets: the largest is what the network would say
    Tensor columns = {};  ///< (N) i32 of `scores`, on the host, that would be right; empty: the labels
  };

  virtual ~Objective() = default;
  /// `output` (N, …) of the network.
  virtual Value evaluate(Tape& tape, const Var& output, const Labels& labels) = 0;
  /// Whether evaluate() asks the machine for the same every time, and reads labels there: steps can be recorded then.
  virtual bool recordable() const { return false; }
  /// Its parameters and buffers, named "head.…": trained with the network's, kept in checkpoints, left out of models.
  virtual void visit(Visitor& visitor) { (void)visitor; }
};

/// The network's output is logits: training_loss() of them.
class ClassifierObjective final : public Objective {
 public:
  explicit ClassifierObjective(const LossSpec& spec) : spec_(spec) {}
  Value evaluate(Tape& tape, const Var& logits, const Labels& labels) override;
  bool recordable() const override { return true; }

 private:
  LossSpec spec_;
};

/// The parameters, or all tensors, of a graph and then of what it is trained towards.
std::vector<NamedParameter> parameters_of(Graph& graph, Objective& objective);
std::vector<NamedTensor> state_of(Graph& graph, Objective& objective);

}  // namespace gsnet
