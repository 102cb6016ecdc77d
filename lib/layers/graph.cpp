#include "layers/graph.h"

#include <fmt/format.h>

#include <cmath>
#include <unordered_map>

#include "core/error.h"

namespace gsnet {

Graph::Graph(const Description& description, Backend& backend, RandomKey key)
    : description_(description), backend_(backend) {
  GSNET_CHECK(!description.nodes.empty(), "[graph] a network needs at least one layer");
  GSNET_CHECK(description.input.rank() == 3 || description.input.rank() == 1,
              fmt::format("[graph] the input must be (C, H, W) or (C), got {}", to_string(description.input)));
  std::unordered_map<std::string, int> places = {{"input", -1}};
  for (const NodeDescription& wanted : description.nodes) {
    const int index = static_cast<int>(nodes_.size());
    Node node;
    node.description = wanted;
    if (wanted.inputs.empty()) node.inputs.push_back(index - 1);
    for (const std::string& from : wanted.inputs) {
      const auto found = places.find(from);
      GSNET_CHECK(found != places.end(),
                  fmt::format("[graph] layer '{}' reads from '{}', which does not come before it", wanted.name, from));
      node.inputs.push_back(found->second);
    }
    GSNET_CHECK(!wanted.name.empty() && places.emplace(wanted.name, index).second,
                fmt::format("[graph] two layers are named '{}'", wanted.name));
    const BuildContext context{backend, key.with(static_cast<uint64_t>(index)), input_shapes(node)};
    try {
      node.module = build_module(wanted.type, wanted.attributes, context);
      node.output = node.module->output_shape(context.inputs);
    } catch (const Error& error) {
      throw Error(fmt::format("layer '{}' ({}): {}", wanted.name, wanted.type, error.what()));
    }
    nodes_.push_back(std::move(node));
  }
}

std::vector<Shape> Graph::input_shapes(const Node& node) const {
  std::vector<Shape> shapes;
  for (int from : node.inputs)
    shapes.push_back(from < 0 ? description_.input : nodes_[static_cast<size_t>(from)].output);
  return shapes;
}

Var Graph::forward(Tape& tape, const Var& x, const Observer& observer) {
  const Shape& wanted = description_.input;
  bool fits = x.shape().rank() == wanted.rank() + 1;
  for (int i = 0; fits && i < wanted.rank(); ++i) fits = x.shape()[i + 1] == wanted[i];
  GSNET_CHECK(fits, fmt::format("[graph] the network takes inputs (N, …) of {}, got {}", to_string(wanted),
                                to_string(x.shape())));
  if (tape.mode().record && tape.mode().segments > 0) return run_in_segments(tape, x, observer);
  return run(tape, x, 0, nodes_.size(), observer);
}

namespace {

/// Outputs of nodes [begin, end), each kept until its last reader has it.
class Values {
 public:
  Values(const Var& x, const std::vector<Graph::Node>& nodes, size_t begin, size_t end)
      : x_(x), first_(static_cast<int>(begin)), values_(end - begin), uses_(end - begin, 0) {
    for (size_t i = begin; i < end; ++i) {
      for (const int from : nodes[i].inputs) {
        if (from >= first_) ++uses_[at(from)];
      }
    }
  }

  Var read(int node) {
    if (node < first_) return x_;
    Var value = values_[at(node)];
    if (--uses_[at(node)] == 0) values_[at(node)] = {};
    return value;
  }
  void write(int node, Var value) { values_[at(node)] = std::move(value); }
  const Var& last() const { return values_.back(); }

 private:
  size_t at(int node) const { return static_cast<size_t>(node - first_); }

  Var x_;
  int first_;
  std::vector<Var> values_;
  std::vector<int> uses_;
};

}  // namespace

Var Graph::run(Tape& tape, const Var& x, size_t begin, size_t end, const Observer& observer) {
  const TapeMode& mode = tape.mode();
  const bool fuse = (mode.training || mode.fast) && !mode.check_finite && !observer;
  const std::vector<Fusion> plan = fuse ? fusions(mode, begin, end) : std::vector<Fusion>();
  Values values(x, nodes_, begin, end);
  std::vector<bool> done(end - begin, false);
  for (size_t i = begin; i < end; ++i) {
    if (done[i - begin]) continue;
    std::vector<Var> in;
    for (const int from : nodes_[i].inputs) in.push_back(values.read(from));
    if (fuse && plan[i - begin].last != static_cast<int>(i)) {
      const Fusion& fusion = plan[i - begin];
      Epilogue then = epilogue(fusion, tape);
      if (fusion.add >= 0) then.addend = values.read(fusion.addend);
      values.write(fusion.last, nodes_[i].module->forward(tape, in[0], then));
      for (const int node : {fusion.affine, fusion.add, fusion.clip}) {
        if (node >= 0) done[static_cast<size_t>(node) - begin] = true;
      }
      continue;
    }
    const Var value = nodes_[i].module->forward(tape, in);
    values.write(static_cast<int>(i), value);
    if (observer) observer(i, value.value);
    if (mode.check_finite) {
      GSNET_CHECK(std::isfinite(backend_.sum_of_squares(value.value)),
                  fmt::format("the output of layer '{}' is not finite", nodes_[i].description.name));
    }
  }
  return values.last();
}

Emitter::Value Graph::emit(Emitter& emitter, Emitter::Value x) const {
  return fold(x,
              [&](const Node& node, const std::vector<Emitter::Value>& in) {
                const std::vector<Shape> shapes = input_shapes(node);
                emitter.begin_layer(node.description.name);
                try {
                  return node.module->emit(emitter, in, shapes);
                } catch (const Error& error) {
                  throw Error(
                      fmt::format("layer '{}' ({}): {}", node.description.name, node.description.type, error.what()));
                }
              })
      .back();
}

void Graph::visit(Visitor& visitor) {
  for (Node& node : nodes_) node.module->visit(node.description.name, visitor);
}

std::vector<Graph::NodeBound> Graph::bounds() const {
  const NodeBound start{UpperBound::proven(1), {UpperBound::proven(1), "input"}};
  return fold(start, [this](const Node& node, const std::vector<NodeBound>& in) {
    std::vector<UpperBound> from, ones;
    for (const NodeBound& bound : in) {
      from.push_back(bound.from_input);
      ones.push_back(UpperBound::proven(1));
    }
    const std::vector<Shape> shapes = input_shapes(node);
    try {
      const LayerBound layer = node.module->bound(ones, shapes);  // dear: one input needs it once only
      return NodeBound{from.size() == 1 ? from[0] * layer.value : node.module->bound(from, shapes).value, layer};
    } catch (const Error& error) {
      throw Error(fmt::format("layer '{}' ({}) has no Lipschitz bound: {}", node.description.name,
                              node.description.type, error.what()));
    }
  });
}

namespace {

class Collector final : public Visitor {
 public:
  void parameter(const std::string& name, Parameter& parameter) override {
    parameters.push_back({name, &parameter});
    tensors.push_back({name, &parameter.value});
  }
  void buffer(const std::string& name, Tensor& buffer) override { tensors.push_back({name, &buffer}); }

  std::vector<NamedParameter> parameters;
  std::vector<NamedTensor> tensors;
};

}  // namespace

std::vector<NamedParameter> parameters_of(const std::function<void(Visitor&)>& visit) {
  Collector collector;
  visit(collector);
  return std::move(collector.parameters);
}

std::vector<NamedTensor> state_of(const std::function<void(Visitor&)>& visit) {
  Collector collector;
  visit(collector);
  return std::move(collector.tensors);
}

std::vector<NamedParameter> parameters_of(Graph& graph) {
  return parameters_of([&](Visitor& visitor) { graph.visit(visitor); });
}

std::vector<NamedTensor> state_of(Graph& graph) {
  return state_of([&](Visitor& visitor) { graph.visit(visitor); });
}

void state_changed(Graph& graph) {
  for (const NamedParameter& named : parameters_of(graph)) named.parameter->changed();
}

LayerBound UnaryModule::bound(std::span<const UpperBound> in, std::span<const Shape> x) const {
  LayerBound own = lipschitz(x[0]);
  return {in[0] * own.value, std::move(own.method)};
}

RoundingBound Module::rounding(std::span<const Shape>, const Arithmetic&) const {
  throw Error(
      "no bound of its rounding errors is known: it can be certified in real arithmetic only (--arithmetic real)");
}

ChannelAffine Module::channel_affine(Tape&) const { throw Error("it is not one number a channel times and plus"); }

Var Module::forward(Tape&, const Var&, const Epilogue&) { throw Error("it does nothing but itself"); }

Emitter::Value Module::emit(Emitter&, std::span<const Emitter::Value>, std::span<const Shape>) const {
  throw Error("it cannot be said in plain operators");
}

Cost UnaryModule::cost(const Shape&) const { return {}; }

}  // namespace gsnet
