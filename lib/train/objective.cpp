#include "train/objective.h"

namespace gsnet {

Objective::Value ClassifierObjective::evaluate(Tape&, const Var& logits, const Labels& labels) {
  return {training_loss(logits, labels.machine, spec_), logits.value};
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
