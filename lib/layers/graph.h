// Graph: modules wired as a Description says; every network is one. Folded with four algebras: Shape, Cost, Bound, Var.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "layers/module.h"

namespace gsnet {

class Graph {
 public:
  struct Node {
    NodeDescription description;
    std::vector<int> inputs;  ///< indices of nodes, -1 for the network's input
    std::unique_ptr<Module> module;
    Shape output;  ///< of one sample
  };

  /// Builds every module on the machine, with initial values from the key. Throws Error naming the node.
  Graph(const Description& description, Backend& backend, RandomKey key);

  const Description& description() const { return description_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  Backend& backend() const { return backend_; }
  const Shape& input() const { return description_.input; }
  const Shape& output() const { return nodes_.back().output; }

  /// x (N, C, H, W). Throws Error when it has another shape than the network's input.
  /// `observer` is called with the index and the output of every node. In training and with TapeMode::fast, batch norms
  /// of fixed statistics, sums and clips are done at the end of the convolution before them, unless every output is
  /// wanted (an observer, TapeMode::check_finite). With TapeMode::segments the tape keeps the
  /// activations between segments only, and nothing at all of those before the first parameter that is trained.
  using Observer = std::function<void(size_t node, const Tensor& output)>;
  Var forward(Tape& tape, const Var& x, const Observer& observer = {});
  void visit(Visitor& visitor);
  /// Says the network to an exporter. Throws Error naming a layer that cannot be said in plain operators.
  Emitter::Value emit(Emitter& emitter, Emitter::Value x) const;

  /// Folds a value through the nodes: step(node, values of its inputs) gives the node's value; all are returned.
  template <class V, class Step>
  std::vector<V> fold(const V& input, Step&& step) const {
    std::vector<V> values;
    values.reserve(nodes_.size());
    for (const Node& node : nodes_) {
      std::vector<V> in;
      for (int from : node.inputs) in.push_back(from < 0 ? input : values[static_cast<size_t>(from)]);
      values.push_back(step(node, in));
    }
    return values;
  }

  /// Shapes of the inputs of a node, of one sample.
  std::vector<Shape> input_shapes(const Node& node) const;

  /// Bounds from the network's input to each node's output, and each node's own. Throws Error naming a node that has
  /// none.
  struct NodeBound {
    UpperBound from_input;
    LayerBound layer;
  };
  std::vector<NodeBound> bounds() const;

 private:
  /// Nodes [begin, end), x being the output of node begin - 1 or the network's input.
  Var run(Tape& tape, const Var& x, size_t begin, size_t end, const Observer& observer);
  /// Nodes that are done with a convolution, -1 where there is none; `last` gives the output, the node itself where
  /// nothing else is done.
  struct Fusion {
    int affine = -1, add = -1, addend = -1, clip = -1, last = -1;
    double low = EpilogueStep{}.low, high = EpilogueStep{}.high;
  };
  /// One a node of [begin, end).
  std::vector<Fusion> fusions(const TapeMode& mode, size_t begin, size_t end) const;
  /// All but the addend.
  Epilogue epilogue(const Fusion& fusion, Tape& tape) const;
  Var run_in_segments(Tape& tape, const Var& x, const Observer& observer);
  bool trains(size_t begin, size_t end);
  /// About `count` places to begin a segment at: no node from there on reads what lies before the node before it.
  std::vector<size_t> segment_begins(int count) const;

  Description description_;
  Backend& backend_;
  std::vector<Node> nodes_;
};

/// Every parameter of a graph with its path name, in order.
struct NamedParameter {
  std::string name;
  Parameter* parameter;
};
std::vector<NamedParameter> parameters_of(Graph& graph);

/// Every tensor of a graph (parameters' values and buffers) with its path name, in order: the model's state.
struct NamedTensor {
  std::string name;
  Tensor* tensor;
};
std::vector<NamedTensor> state_of(Graph& graph);

/// The same of anything that takes a visitor.
std::vector<NamedParameter> parameters_of(const std::function<void(Visitor&)>& visit);
std::vector<NamedTensor> state_of(const std::function<void(Visitor&)>& visit);

/// To be called when tensors of the state were assigned: bumps every parameter's version.
void state_changed(Graph& graph);

}  // namespace gsnet
