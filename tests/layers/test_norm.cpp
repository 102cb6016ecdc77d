// Batch normalisation and the residual networks that use it.
#include <catch2/catch.hpp>
#include <cmath>

#include "core/error.h"
#include "layers/architectures.h"
#include "layers/graph.h"
#include "support/op_cases.h"

namespace gsnet {
namespace {

constexpr double kEpsilon = 1e-5;

Tensor of(Backend& backend, std::initializer_list<double> values) {
  return backend.upload(Tensor::of<double>({static_cast<int64_t>(values.size())}, values));
}

/// Two channels with known numbers.
struct Known {
  explicit Known(const char* statistics = "frozen")
      : graph({{2, 3, 3}, {{"bn", "batch_norm", {}, {{"statistics", std::string(statistics)}}}}}, *backend,
              RandomKey(1)) {
    for (const NamedTensor& named : state_of(graph)) {
      if (named.name == "bn.weight") *named.tensor = of(*backend, {3, -0.5});
      if (named.name == "bn.bias") *named.tensor = of(*backend, {0.25, -1});
      if (named.name == "bn.running_mean") *named.tensor = of(*backend, {1, -2});
      if (named.name == "bn.running_var") *named.tensor = of(*backend, {4, 0.01});
    }
    state_changed(graph);
  }
  std::vector<double> state(const std::string& name) {
    for (const NamedTensor& named : state_of(graph)) {
      if (named.name == name) return test::numbers(*backend, *named.tensor);
    }
    return {};
  }

  std::unique_ptr<Backend> backend = make_backend({"reference", 1});
  Graph graph;
};

}  // namespace

TEST_CASE("batch norm in evaluation form, its bound, and frozen statistics in training", "[norm]") {
  Known net;
  const Tensor x = test::make_input(*net.backend, {{2, 2, 3, 3}, Layout::channels_last}, 7);
  Tape tape(*net.backend, {.record = true, .training = true});
  const Var in = tape.input(x, true);
  const Var y = net.graph.forward(tape, in);
  const std::vector<double> from = test::numbers(*net.backend, x), to = test::numbers(*net.backend, y.value);
  const double gamma[] = {3, -0.5}, beta[] = {0.25, -1}, mean[] = {1, -2}, variance[] = {4, 0.01};
  double dgamma[] = {0, 0};
  for (size_t i = 0; i < from.size(); ++i) {
    const size_t c = i % 2;  // channels last
    const double normed = (from[i] - mean[c]) / std::sqrt(variance[c] + kEpsilon);
    CHECK(to[i] == Approx(gamma[c] * normed + beta[c]).margin(1e-12));
    dgamma[c] += normed;
  }
  const double steepest = 0.5 / std::sqrt(0.01 + kEpsilon);
  const double bound = net.graph.bounds()[0].from_input.value();
  CHECK(bound >= steepest);
  CHECK(bound == Approx(steepest).epsilon(1e-12));
  CHECK(net.state("bn.running_mean") == std::vector<double>{1, -2});
  tape.backward(ops::sum(y));
  const auto parameters = parameters_of(net.graph);
  REQUIRE(parameters.size() == 2);
  CHECK(test::numbers(*net.backend, parameters[0].parameter->grad)[0] == Approx(dgamma[0]));
  CHECK(test::numbers(*net.backend, parameters[0].parameter->grad)[1] == Approx(dgamma[1]));
  CHECK(test::numbers(*net.backend, parameters[1].parameter->grad) == std::vector<double>{18, 18});
  CHECK(test::numbers(*net.backend, tape.grad(in))[0] == Approx(3 / std::sqrt(4 + kEpsilon)));
}

TEST_CASE("batch norm on the batch's statistics moves the running ones", "[norm]") {
  Known net("batch");
  const Tensor x = test::make_input(*net.backend, {{2, 2, 3, 3}, Layout::channels_last}, 7);
  const auto loss = [&](const Tensor& at) {
    Tape tape(*net.backend, {.training = true});
    const Var y = net.graph.forward(tape, tape.input(at));
    return test::numbers(*net.backend, ops::sum(ops::unary(UnaryOp::exp, y)).value)[0];
  };
  const std::vector<double> from = test::numbers(*net.backend, x);
  double mean = 0, squares = 0;
  for (size_t i = 0; i < from.size(); i += 2) mean += from[i] / 18;
  for (size_t i = 0; i < from.size(); i += 2) squares += (from[i] - mean) * (from[i] - mean);
  Tape tape(*net.backend, {.record = true, .training = true});
  const Var in = tape.input(x, true);
  const Var y = net.graph.forward(tape, in);
  CHECK(test::numbers(*net.backend, y.value)[0] ==
        Approx(3 * (from[0] - mean) / std::sqrt(squares / 18 + kEpsilon) + 0.25));
  CHECK(net.state("bn.running_mean")[0] == Approx(0.9 * 1 + 0.1 * mean));
  CHECK(net.state("bn.running_var")[0] == Approx(0.9 * 4 + 0.1 * squares / 17));
  tape.backward(ops::sum(ops::unary(UnaryOp::exp, y)));
  const std::vector<double> dx = test::numbers(*net.backend, tape.grad(in));
  for (const size_t i : {size_t{0}, size_t{5}, size_t{20}}) {
    const auto moved = [&](double step) {
      const Tensor host = net.backend->download(x);
      host.host<double>()[i] += step;
      return loss(net.backend->upload(host));
    };
    CHECK(dx[i] == Approx((moved(1e-5) - moved(-1e-5)) / 2e-5).epsilon(1e-6));
  }
}

TEST_CASE("batch norm refuses what it cannot use", "[norm]") {
  const auto backend = make_backend({"reference", 1});
  const auto build = [&](Attributes attributes) {
    Graph graph({{2, 3, 3}, {{"bn", "batch_norm", {}, std::move(attributes)}}}, *backend, RandomKey(1));
  };
  CHECK_THROWS_WITH(build({{"epsilon", 0.0}}), Catch::Contains("epsilon"));
  CHECK_THROWS_WITH(build({{"statistics", std::string("moving")}}), Catch::Contains("frozen"));
  CHECK_THROWS_WITH(build({{"channels", int64_t{2}}}), Catch::Contains("channels"));
  Known net;
  *state_of(net.graph)[3].tensor = of(*net.backend, {-1, 1});
  CHECK_THROWS_WITH(net.graph.bounds(), Catch::Contains("'bn'") && Catch::Contains("variance"));
}

TEST_CASE("zero channels around a map", "[norm]") {
  const auto backend = make_backend({"reference", 1});
  Graph graph({{2, 1, 1}, {{"pad", "pad_channels", {}, {{"before", int64_t{1}}, {"after", int64_t{2}}}}}}, *backend,
              RandomKey(1));
  CHECK(graph.output() == Shape{5, 1, 1});
  CHECK(graph.bounds()[0].from_input.value() == 1);
  Tape tape(*backend, {});
  const Tensor x = backend->upload(Tensor::of<double>({1, 2}, {3, 4}).as_map());
  CHECK(test::numbers(*backend, graph.forward(tape, tape.input(x)).value) == std::vector<double>{0, 3, 4, 0, 0});
}

TEST_CASE("every parameter of a residual network gets a gradient", "[norm]") {
  const auto backend = make_backend({"cpu", 1});
  Graph graph(make_architecture("resnet20", {{"statistics", std::string("batch")}}, {3, 8, 8}, 4), *backend,
              RandomKey(2));
  CHECK(graph.output() == Shape{4});
  CHECK(parameters_of(graph).size() == 19 + 19 * 2 + 2);
  Tape tape(*backend, {.record = true, .training = true});
  const Var x = tape.input(test::make_input(*backend, {{2, 3, 8, 8}, Layout::channels_last}, 1));
  tape.backward(ops::sum(ops::unary(UnaryOp::square, graph.forward(tape, x))));
  for (const NamedParameter& named : parameters_of(graph)) {
    INFO(named.name);
    REQUIRE(named.parameter->grad);
    CHECK(backend->sum_of_squares(named.parameter->grad) > 0);
  }
  CHECK_THROWS_WITH(make_architecture("resnet20", {{"width", int64_t{3}}}, {3, 8, 8}, 4), Catch::Contains("width"));
}

}  // namespace gsnet
