// Which layers are done at the end of the convolution before them.
#include "layers/graph.h"

namespace gsnet {
namespace {

constexpr int kNobody = -1, kSeveral = -2;

/// For each node, the one that reads it alone.
std::vector<int> only_readers(const std::vector<Graph::Node>& nodes, size_t begin, size_t end) {
  std::vector<int> readers(end, kNobody);
  for (size_t i = begin; i < end; ++i) {
    for (const int from : nodes[i].inputs) {
      if (from < static_cast<int>(begin)) continue;
      int& reader = readers[static_cast<size_t>(from)];
      reader = reader == kNobody ? static_cast<int>(i) : kSeveral;
    }
  }
  return readers;
}

}  // namespace

// The other side of a sum must be there before the convolution runs.
std::vector<Graph::Fusion> Graph::fusions(const TapeMode& mode, size_t begin, size_t end) const {
  using Kind = EpilogueStep::Kind;
  std::vector<Fusion> plan(end - begin);
  const std::vector<int> readers = only_readers(nodes_, begin, end);
  for (size_t i = begin; i < end; ++i) {
    Fusion& fusion = plan[i - begin];
    fusion.last = static_cast<int>(i);
    if (!nodes_[i].module->takes_epilogue()) continue;
    for (int next = readers[i]; next >= 0; next = readers[static_cast<size_t>(next)]) {
      const Node& node = nodes_[static_cast<size_t>(next)];
      const EpilogueStep step = node.module->epilogue_step(mode);
      if (step.kind == Kind::none || fusion.clip >= 0) break;
      if (step.kind == Kind::affine) {
        if (fusion.affine >= 0 || fusion.add >= 0) break;
        fusion.affine = next;
      } else if (step.kind == Kind::add) {
        if (fusion.add >= 0 || node.inputs.size() != 2) break;
        const int other = node.inputs[0] == fusion.last ? node.inputs[1] : node.inputs[0];
        if (other >= static_cast<int>(i)) break;
        fusion.add = next;
        fusion.addend = other;
      } else {
        fusion.clip = next;
        fusion.low = step.low;
        fusion.high = step.high;
      }
      fusion.last = next;
    }
  }
  return plan;
}

Epilogue Graph::epilogue(const Fusion& fusion, Tape& tape) const {
  Epilogue made{.low = fusion.low, .high = fusion.high};
  if (fusion.affine >= 0) made.affine = nodes_[static_cast<size_t>(fusion.affine)].module->channel_affine(tape);
  return made;
}

}  // namespace gsnet
