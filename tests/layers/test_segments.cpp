// Activations computed again in the backward pass: the same gradients, less memory.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "autograd/ops.h"
#include "layers/architectures.h"
#include "layers/graph.h"
#include "support/op_cases.h"

namespace gsnet {
namespace {

struct Step {
  std::vector<std::vector<double>> gradients;
  std::vector<std::vector<double>> state;
  int64_t peak = 0;
};

Step step(Backend& backend, const Description& net, int segments, const std::string& trained, int64_t images = 4) {
  Graph graph(net, backend, RandomKey(2));
  for (const NamedParameter& named : parameters_of(graph)) named.parameter->trainable = named.name.starts_with(trained);
  const Tensor x = test::make_input(backend, {{images, 3, 32, 32}, Layout::channels_last}, 3);
  backend.memory()->reset_peak();
  {
    Tape tape(backend, {.record = true, .training = true, .segments = segments});
    const Var y = graph.forward(tape, tape.input(x));
    tape.backward(ops::sum(ops::unary(UnaryOp::square, y)));
  }
  Step result;
  result.peak = backend.memory()->stats().peak_bytes;
  for (const NamedParameter& named : parameters_of(graph)) {
    CHECK(static_cast<bool>(named.parameter->grad) == named.parameter->trainable);
    if (named.parameter->grad) result.gradients.push_back(test::numbers(backend, named.parameter->grad));
  }
  for (const NamedTensor& one : state_of(graph)) {
    if (one.tensor->dtype() == DType::f32) result.state.push_back(test::numbers(backend, *one.tensor));
  }
  return result;
}

double difference(const std::vector<std::vector<double>>& a, const std::vector<std::vector<double>>& b) {
  double largest = a.size() == b.size() ? 0 : 1e300;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    for (size_t j = 0; j < a[i].size(); ++j) largest = std::max(largest, std::fabs(a[i][j] - b[i][j]));
  }
  return largest;
}

double largest(const std::vector<std::vector<double>>& a) {
  double most = 0;
  for (const std::vector<double>& one : a) {
    for (const double value : one) most = std::max(most, std::fabs(value));
  }
  return most;
}

}  // namespace

TEST_CASE("segments give the same gradients and statistics for less memory", "[graph][segments]") {
  const auto backend = make_backend({"cpu", 1});
  const std::vector<Description> nets = {
      make_architecture("resnet20", {{"statistics", std::string("batch")}}, {3, 32, 32}, 10),
      make_architecture("lipconvnet", {{"scale", std::string("four_forms")}, {"width", int64_t{8}}}, {3, 32, 32}, 10)};
  for (size_t n = 0; n < nets.size(); ++n) {
    const std::string& late = nets[n].nodes[nets[n].nodes.size() / 2].name;
    for (const std::string& trained : {std::string(), late.substr(0, late.find('.'))}) {
      INFO("network " << n << ", trained from '" << trained << "'");
      const Step whole = step(*backend, nets[n], 0, trained);
      for (const int segments : {1, 2, 5}) {
        const Step parts = step(*backend, nets[n], segments, trained);
        // The reference code's norm is computed from its vectors after their step, not on the way: rounding.
        const double allowed = n == 0 ? 0 : 1e-5 * largest(whole.gradients);
        CHECK(difference(parts.gradients, whole.gradients) <= allowed);
        CHECK(difference(parts.state, whole.state) == 0);
        if (segments == 5 && n == 0) CHECK(parts.peak < whole.peak);
      }
    }
  }
}

TEST_CASE("inputs made again from outputs give the same gradients for less memory", "[graph][segments]") {
  const auto cpu = make_backend({"cpu", 2});
  for (const char* variant : {"permuted", "gs"}) {  // 3x3 layers alone; with 1x1 ones
    for (const char* scale : {"stretch", "four_forms"}) {
      std::vector<Step> steps;
      for (const char* save : {"iterates", "input", "output"}) {
        Attributes settings = {{"depth", int64_t{25}},        {"width", int64_t{8}},
                               {"groups", int64_t{2}},        {"variant", std::string(variant)},
                               {"scale", std::string(scale)}, {"save", std::string(save)}};
        if (std::string(variant) == "gs") settings.set("groups2", int64_t{2});
        steps.push_back(step(*cpu, make_architecture("lipconvnet", settings, {3, 32, 32}, 10), 0, "", 32));
      }
      CAPTURE(variant, scale, steps[0].peak, steps[1].peak, steps[2].peak);
      const double size = largest(steps[0].gradients);
      CHECK(difference(steps[0].gradients, steps[1].gradients) <= 1e-5 * size);
      const double apart = difference(steps[0].gradients, steps[2].gradients);
      CHECK(apart <= 1e-4 * size);
      CHECK(apart > 0);  // they were made again
      CHECK(5 * steps[2].peak < 4 * steps[1].peak);
    }
  }
}

TEST_CASE("a value that nobody hands back is an error", "[tape]") {
  const auto cpu = make_backend({"cpu", 1});
  Tape tape(*cpu, {.record = true, .training = true});
  SeriesSpec spec{{1, 1, 0.5}, 1, SeriesSave::output};
  spec.inverse = {1, -1, 0.5};
  const ChannelMap same = ChannelMap::head(4, 4);
  const Var x = tape.input(test::make_input(*cpu, {{1, 4, 3, 3}, Layout::channels_last}, 1), true);
  Tensor kernel = cpu->empty({4, 4, 3, 3});
  cpu->fill(0, kernel);
  const Var k = tape.input(kernel, true);
  const Var y = ops::maxmin(x, {});
  ops::conv_exp_between(y, k, spec, 1, same, same, nullptr);  // read by nothing
  CHECK_THROWS_WITH(tape.backward(ops::sum(y)), Catch::Contains("led nowhere"));
}

}  // namespace gsnet
