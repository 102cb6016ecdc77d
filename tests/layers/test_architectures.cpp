// Networks known by name: counts against the published ones, output shapes, refusals.
#include "layers/architectures.h"

#include <catch2/catch.hpp>

#include "core/error.h"
#include "layers/graph.h"
#include "support/op_cases.h"

namespace gsnet {
namespace {

using Catch::Matchers::Contains;

int64_t parameters(const Description& net) {
  const auto backend = make_backend({"cpu", 1});
  const Graph graph(net, *backend, RandomKey(1));
  int64_t count = 0;
  for (const Graph::Node& node : graph.nodes()) count += node.module->cost(graph.input_shapes(node)).parameters;
  return count;
}

}  // namespace

// Counts: torchvision's documentation, and PyTorch on the public code of arcface_torch and foamliu/MobileFaceNet.
TEST_CASE("architectures have the published numbers of parameters", "[architectures]") {
  const struct {
    const char* name;
    int64_t outputs, parameters;
  } cases[] = {
      {"resnet18", 1000, 11'689'512},  {"resnet50", 1000, 25'557'032}, {"mobilenetv2", 1000, 3'504'872},
      {"mobilefacenet", 128, 999'936}, {"iresnet18", 512, 24'025'600}, {"iresnet50", 512, 43'590'848},
      {"mbf", 512, 2'059'520},         {"resnet20", 10, 269'722},
  };
  for (const auto& one : cases) {
    INFO(one.name);
    const Architecture& known = find_architecture(one.name);
    CHECK(parameters(known.describe(known.name, {}, known.input, one.outputs)) == one.parameters);
  }
}

TEST_CASE("every architecture can be described, and says what it cannot be", "[architectures]") {
  for (const Architecture& one : architectures()) {
    INFO(one.name);
    const Shape input = one.input.rank() == 3 ? one.input : Shape{3, 32, 32};
    const Description net = make_architecture(one.name, {}, input, 7);
    CHECK(net.input == input);
    CHECK(net.nodes.size() > 5);
    CHECK_THROWS_WITH(make_architecture(one.name, {{"colour", true}}, input, 7), Contains("colour"));
    CHECK_THROWS_AS(make_architecture(one.name, {}, {3}, 7), Error);
    CHECK_THROWS_AS(make_architecture(one.name, {}, input, 0), Error);
  }
  CHECK_THROWS_WITH(make_architecture("resnet51", {}, {3, 224, 224}, 7), Contains("resnet51") && Contains("mbf"));
  CHECK_THROWS_WITH(make_architecture("mbf", {}, {3, 96, 96}, 7), Contains("(3, 112, 112)"));
}

TEST_CASE("a face network of PReLU trains with the batch's statistics", "[architectures]") {
  const auto backend = make_backend({"cpu", 2});
  Graph graph(make_architecture("iresnet18", {{"statistics", std::string("batch")}}, {3, 16, 16}, 8), *backend,
              RandomKey(2));
  CHECK(graph.output() == Shape{8});
  Tape tape(*backend, {.record = true, .training = true});
  const Var x = tape.input(test::make_input(*backend, {{3, 3, 16, 16}, Layout::channels_last}, 1));
  const Var loss = ops::sum(ops::unary(UnaryOp::exp, graph.forward(tape, x)));
  tape.backward(loss);
  for (const NamedParameter& named : parameters_of(graph)) {
    INFO(named.name);
    REQUIRE(named.parameter->grad);
    if (named.name == "fc.bias") continue;  // taken away again by the batch norm after it
    CHECK(backend->sum_of_squares(named.parameter->grad) > 0);
  }
}

}  // namespace gsnet
