// Activations that are computed twice instead of kept (Chen et al., "Training deep nets with sublinear memory cost",
// 2016).
#include <algorithm>

#include "layers/graph.h"

namespace gsnet {

std::vector<size_t> Graph::segment_begins(int count) const {
  const size_t size = nodes_.size();
  std::vector<size_t> possible;
  int earliest = static_cast<int>(size);  // node read by the nodes from here on
  for (size_t i = size; i-- > 1;) {
    for (const int from : nodes_[i].inputs) earliest = std::min(earliest, from);
    if (earliest + 1 >= static_cast<int>(i)) possible.push_back(i);
  }
  std::ranges::reverse(possible);
  std::vector<size_t> begins = {0};
  for (int i = 1; i < count; ++i) {
    const size_t wanted = size * static_cast<size_t>(i) / static_cast<size_t>(count);
    const auto found = std::ranges::lower_bound(possible, wanted);
    if (found != possible.end() && *found > begins.back()) begins.push_back(*found);
  }
  return begins;
}

bool Graph::trains(size_t begin, size_t end) {
  const auto own = [&](Visitor& visitor) {
    for (size_t i = begin; i < end; ++i) nodes_[i].module->visit(nodes_[i].description.name, visitor);
  };
  return std::ranges::any_of(parameters_of(own), [](const NamedParameter& one) { return one.parameter->trainable; });
}

Var Graph::run_in_segments(Tape& tape, const Var& x, const Observer& observer) {
  std::vector<size_t> begins = segment_begins(tape.mode().segments);
  begins.push_back(nodes_.size());
  Var value = x;
  for (size_t s = 0; s + 1 < begins.size(); ++s) {
    const size_t begin = begins[s], end = begins[s + 1];
    TapeMode plain = tape.mode();
    plain.record = false;
    plain.segments = 0;
    Tape once(backend_, plain);
    const Tensor in = value.value;
    const Tensor out = run(once, once.input(in), begin, end, observer).value;
    if (!value.tracked() && !(trains(begin, end) && !tape.mode().frozen)) {
      value = tape.input(out);
      continue;
    }
    const Var from = value.tracked() ? value : tape.input(in, true);
    value = tape.record("segment", out, {&from},
                        [this, in, begin, end, mode = tape.mode()](GradSink& sink, const Tensor& dy) {
                          TapeMode again = mode;
                          again.segments = 0;
                          again.again = again.keep_inputs = true;
                          Tape second(backend_, again);
                          const Var leaf = second.input(in, true);
                          second.backward(run(second, leaf, begin, end, {}), dy);
                          if (const Tensor dx = second.grad(leaf)) sink.give(0, dx);
                        });
  }
  return value;
}

}  // namespace gsnet
