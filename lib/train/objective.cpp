#include "train/objective.h"

namespace gsnet {

Objective::Value ClassifierObjective::evaluate(Tape& tape, const Var& logits, const Tensor& labels) {
  return {training_loss(logits, tape.backend().upload(labels), spec_), logits.value, labels};
}

std::vector<NamedParameter> parameters_of(Graph& graph, Objective& objective) {
  return parameters_of([&](Visitor& visitor) {
    graph.visit(visitor);
    objective.visit(visitor);
  });
}

std::vector<NamedTensor> state_of(Graph& graph, Objective& objective) {
  return state_of([&](Visitor& visitor) {
    graph.visit(visitor);
    objective.visit(visitor);
  });
}

}  // namespace gsnet
