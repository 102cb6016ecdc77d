// Small layers done at the end of the convolution before them: the same function, the same gradients.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "autograd/ops.h"
#include "layers/architectures.h"
#include "layers/graph.h"
#include "support/op_cases.h"

namespace gsnet {
namespace {

NodeDescription conv(const std::string& name, const std::string& from, int64_t kernel, bool bias) {
  return {
      name, "conv2d", {from}, {{"channels", int64_t{8}}, {"kernel", kernel}, {"padding", kernel / 2}, {"bias", bias}}};
}

/// Sums of two convolutions, a norm after a sum, a clip that is read twice, a sum of one thing with itself.
Description branches() {
  return {{3, 6, 6},
          {conv("a", "input", 3, true),
           {"a.norm", "batch_norm", {"a"}, {}},
           {"a.relu", "relu", {"a.norm"}, {}},
           conv("b", "a.relu", 3, false),
           {"b.norm", "batch_norm", {"b"}, {}},
           conv("c", "a.relu", 1, false),
           {"c.norm", "batch_norm", {"c"}, {}},
           {"sum", "add", {"b.norm", "c.norm"}, {}},
           {"sum.norm", "batch_norm", {"sum"}, {}},
           {"sum.clip", "clip", {"sum.norm"}, {{"min", -1.0}, {"max", 2.0}}},
           conv("d", "sum.clip", 3, true),
           {"d.scale", "scale_shift", {"d"}, {}},
           {"d.sum", "add", {"sum.clip", "d.scale"}, {}},
           {"d.clip", "clip", {"d.sum"}, {{"max", 1.0}}},
           conv("e", "d.clip", 3, true),
           {"twice", "add", {"e", "e"}, {}},
           {"last", "relu", {"twice"}, {}}}};
}

/// Positive variances, and no number where it was at first.
void disturb(Graph& graph, Backend& backend) {
  uint64_t seed = 10;
  for (const NamedTensor& named : state_of(graph)) {
    if (named.tensor->dtype() != backend.dtype() || named.tensor->shape().rank() != 1) continue;
    const Tensor noise = test::make_input(backend, {named.tensor->shape()}, ++seed);
    backend.axpby(1, *named.tensor, 0.1, noise, *named.tensor);
  }
  state_changed(graph);
}

struct Step {
  std::vector<double> output;
  std::vector<std::vector<double>> gradients;
};

Step step(Backend& backend, const Description& net, bool together) {
  Graph graph(net, backend, RandomKey(2));
  disturb(graph, backend);
  Tape tape(backend, {.record = true, .training = true});
  const Tensor x = test::make_input(backend, {{2, net.input[0], net.input[1], net.input[2]}, Layout::channels_last}, 3);
  const Var in = tape.input(x, true);
  const Graph::Observer each = [](size_t, const Tensor&) {};
  const Var y = graph.forward(tape, in, together ? Graph::Observer{} : each);
  Step made{test::numbers(backend, y.value), {}};
  tape.backward(ops::sum(ops::unary(UnaryOp::square, y)));
  for (const NamedParameter& named : parameters_of(graph)) {
    REQUIRE(named.parameter->grad);
    made.gradients.push_back(test::numbers(backend, named.parameter->grad));
  }
  made.gradients.push_back(test::numbers(backend, tape.grad(in)));
  return made;
}

double relative_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double apart = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    apart = std::max(apart, std::fabs(a[i] - b[i]));
    size = std::max(size, std::fabs(b[i]));
  }
  return size == 0 ? apart : apart / size;
}

}  // namespace

TEST_CASE("convolutions do the small layers after them, to the same numbers", "[graph][epilogues]") {
  struct Case {
    const char* name;
    Description net;
  };
  const Case cases[] = {{"branches", branches()},
                        {"resnet20", make_architecture("resnet20", {}, {3, 16, 16}, 10)},
                        {"mobilefacenet", make_architecture("mobilefacenet", {}, {3, 112, 112}, 16)}};
  for (const auto& [name, net] : cases) {
    INFO(name);
    const bool large = net.input[1] > 16;
    const auto backend = make_backend({large ? "cpu" : "reference", 2});
    const Step apart = step(*backend, net, false), together = step(*backend, net, true);
    const double allowed = large ? 2e-3 : 1e-9;  // single precision, and slopes that change sides
    CHECK(relative_difference(together.output, apart.output) < (large ? 1e-5 : 1e-11));
    REQUIRE(together.gradients.size() == apart.gradients.size());
    for (size_t i = 0; i < apart.gradients.size(); ++i) {
      INFO("gradient " << i);
      CHECK(relative_difference(together.gradients[i], apart.gradients[i]) < allowed);
    }
  }
}

TEST_CASE("what must not be done together is not", "[graph][epilogues]") {
  const auto backend = make_backend({"cpu", 1});
  Graph graph(branches(), *backend, RandomKey(2));
  disturb(graph, *backend);
  const Tensor x = test::make_input(*backend, {{2, 3, 6, 6}, Layout::channels_last}, 3);
  const auto evaluate = [&](const TapeMode& mode) {
    TapeProfile profile;
    TapeMode timed = mode;
    timed.profile = &profile;
    Tape tape(*backend, timed);
    const Var y = graph.forward(tape, tape.input(x));
    return std::pair(test::numbers(*backend, y.value), profile["scale_shift"].calls);
  };
  const auto [plain, plain_norms] = evaluate({});
  const auto [fast, fast_norms] = evaluate({.fast = true});
  CHECK(plain_norms == 5);  // rounding bounds are those of the layers one by one
  CHECK(fast_norms == 1);   // the norm after a sum
  CHECK(relative_difference(fast, plain) < 1e-5);
}

}  // namespace gsnet
