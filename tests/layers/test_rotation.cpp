// Rotations as layers: isometries that leave bounds and certificates as they are.
#include <catch2/catch.hpp>
#include <cmath>

#include "certify/margin.h"
#include "certify/rounding.h"
#include "io/import_gs.h"
#include "io/model_file.h"
#include "io/torch_file.h"
#include "support/op_cases.h"
#include "support/shared_folder.h"

namespace gsnet {
namespace {

void turn(Graph& graph, uint64_t seed) {
  for (const NamedParameter& named : parameters_of(graph)) {
    if (named.name.find(".factor") == std::string::npos) continue;
    named.parameter->value = test::make_input(graph.backend(), {named.parameter->value.shape()}, ++seed);
    named.parameter->changed();
  }
}

}  // namespace

TEST_CASE("a rotation keeps lengths, at every pixel and on flat features", "[rotation]") {
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 1});
    const double tolerance = backend->dtype() == DType::f64 ? 1e-12 : 1e-5;
    for (const Shape& shape : {Shape{24, 3, 2}, Shape{24}}) {
      Graph graph({shape, {{"turn", "gs_rotation", {}, {{"block", int64_t{6}}}}}}, *backend, RandomKey(1));
      const test::OpInput input =
          shape.rank() == 3 ? test::OpInput{{2, 24, 3, 2}, Layout::channels_last} : test::OpInput{{2, 24}};
      const Tensor x = test::make_input(*backend, input, 5);
      Tape tape(*backend, {});
      const auto same = test::numbers(*backend, graph.forward(tape, tape.input(x)).value);
      CHECK(same == test::numbers(*backend, x));  // generators of 0: the identity
      turn(graph, 10);
      const Tensor y = graph.forward(tape, tape.input(x)).value;
      CHECK(test::numbers(*backend, y) != same);
      const auto before = backend->sample_norms(x), after = backend->sample_norms(y);
      for (size_t i = 0; i < before.size(); ++i) CHECK(after[i] == Approx(before[i]).epsilon(tolerance));
      CHECK(graph.bounds().back().from_input.value() >= 1);
      CHECK(graph.bounds().back().from_input.value() < 1 + 1e-5);  // as executed it is not quite one
      const RoundingBound rounding =
          graph.nodes()[0].module->rounding(std::vector<Shape>{shape}, backend->arithmetic());
      CHECK(rounding.relative.value() < (backend->dtype() == DType::f64 ? 1e-11 : 1e-3));
      CHECK(rounding.relative.value() > 0);
    }
  }
  const auto backend = make_backend({"reference", 1});
  CHECK_THROWS_WITH(Graph({{17}, {{"turn", "gs_rotation", {}, {}}}}, *backend, RandomKey(1)),
                    Catch::Contains("'turn'") && Catch::Contains("no block"));
}

// The rounding bound covers how far the executed matrix is from the orthogonal one, here in double.
TEST_CASE("a rotation's rounding bound holds against double", "[rotation]") {
  const auto cpu = make_backend({"cpu", 1}), reference = make_backend({"reference", 1});
  const Description net{{32, 4, 4}, {{"turn", "gs_rotation", {}, {{"block", int64_t{8}}}}}};
  Graph fast(net, *cpu, RandomKey(1)), exact(net, *reference, RandomKey(1));
  turn(fast, 10);
  turn(exact, 10);
  const test::OpInput input{{3, 32, 4, 4}, Layout::channels_last};
  Tape a(*cpu, {}), b(*reference, {});
  const auto y = test::numbers(*cpu, fast.forward(a, a.input(test::make_input(*cpu, input, 5))).value);
  const auto z = test::numbers(*reference, exact.forward(b, b.input(test::make_input(*reference, input, 5))).value);
  double error = 0, size = 0;
  for (size_t i = 0; i < y.size(); ++i) error += (y[i] - z[i]) * (y[i] - z[i]), size += z[i] * z[i];
  const double relative = std::sqrt(error / size);
  const auto bound = fast.nodes()[0].module->rounding(std::vector<Shape>{{32, 4, 4}}, cpu->arithmetic()).relative;
  CHECK(relative > 0);
  CHECK(relative < bound.value());
  CHECK(bound.value() < 1e-3);
}

// Channel GSOFT without a scale on a trained 1-Lipschitz network.
TEST_CASE("rotations leave a trained network's bound and the certificates of its outputs as they were but for rounding",
          "[rotation][golden]") {
  GSNET_NEED_SHARED(shared);
  const auto backend = make_backend({"cpu", 2});
  const Model base = io::import_gs(io::read_tensors(shared / "golden" / "official_net_0.safetensors"), {}, *backend);
  Description turned = base.info.description;
  std::vector<NodeDescription> nodes;
  for (const NodeDescription& node : turned.nodes) {
    const bool orthogonal = node.type == "skew_conv" || node.type == "group_shuffle_conv";
    if (orthogonal && !nodes.empty()) {
      nodes.push_back({node.name + ".rotation", "gs_rotation", {}, {{"block", int64_t{8}}}});
    }
    nodes.push_back(node);
  }
  turned.nodes = nodes;
  Graph graph(turned, *backend, RandomKey(1));
  io::TensorFile state;
  io::store_state(*base.graph, state);
  std::vector<NamedTensor> known;
  for (const NamedTensor& one : state_of(graph)) {
    if (state.find(one.name) != nullptr) known.push_back(one);
  }
  io::load_tensors(known, state, "", *backend);
  state_changed(graph);
  turn(graph, 10);
  const double was = base.graph->bounds().back().from_input.value(), is = graph.bounds().back().from_input.value();
  CHECK(is >= was);
  CHECK(is <= was * (1 + 1e-5));
  const MarginGeometry before(*base.graph), after(graph);
  const std::vector<double> logits = {3, 1, 0.5, 0, -1, -2, -3, -4, -5, -6};
  const UpperBound scale = input_scale(base.info.stddev);
  CHECK(certify(logits, after, scale).radius_l2 <= certify(logits, before, scale).radius_l2);
  CHECK(certify(logits, after, scale).radius_l2 >= certify(logits, before, scale).radius_l2 * (1 - 2e-5));
}

}  // namespace gsnet
