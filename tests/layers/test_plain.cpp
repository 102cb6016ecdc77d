// Layers of imported networks: values against definitions, bounds against differences, refusals, what they emit.
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <numbers>

#include "core/error.h"
#include "layers/graph.h"
#include "support/op_cases.h"
#include "support/ops_emitter.h"

namespace gsnet {
namespace {

using Catch::Matchers::Contains;

constexpr Layout kMap = Layout::channels_last;

std::vector<double> run(Graph& graph, const Tensor& x) {
  Tape tape(graph.backend(), {});
  return test::numbers(graph.backend(), graph.forward(tape, tape.input(x)).value);
}

/// A graph of one layer of one input.
struct One {
  One(const Shape& input, const char* type, Attributes attributes = {}, const char* machine = "reference")
      : backend(make_backend({machine, 1})),
        graph({input, {{"layer", type, {}, std::move(attributes)}}}, *backend, RandomKey(1)) {}
  std::vector<double> operator()(const Tensor& x) { return run(graph, backend->upload(x)); }
  double bound() const { return graph.bounds()[0].from_input.value(); }

  std::unique_ptr<Backend> backend;
  Graph graph;
};

const std::vector<double> kPoints = {-9,  -3.5, -3,           -2.3993572805, -1, -0.01, 0, 0.01,
                                     0.5, 1,    2.3993572805, 2.9999,        3,  6,     7};

Tensor points() { return Tensor::of<double>({1, static_cast<int64_t>(kPoints.size())}, std::span(kPoints)); }

/// Numbers pixel after pixel.
Tensor pixels(const Shape& shape, const std::vector<double>& values) {
  return Tensor::of<double>(shape, std::span<const double>(values), kMap);
}

Tensor ramp(const Shape& shape, Layout layout = Layout::row_major) {
  Tensor rows = Tensor::empty(shape, DType::f64);
  for (int64_t i = 0; i < rows.numel(); ++i) rows.data<double>()[i] = static_cast<double>(i);
  return with_layout(rows, layout);
}

}  // namespace

TEST_CASE("activations of plain networks are their definitions", "[plain]") {
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const auto hard = [](double x) { return std::clamp(x / 6 + 0.5, 0.0, 1.0); };
  const struct {
    const char* type;
    Attributes attributes;
    std::function<double(double)> value;
    double bound;
  } cases[] = {
      {"clip", {{"min", int64_t{0}}, {"max", int64_t{6}}}, [](double x) { return std::clamp(x, 0.0, 6.0); }, 1},
      {"clip", {{"min", -0.5}}, [](double x) { return std::max(x, -0.5); }, 1},
      {"clip", {}, [](double x) { return x; }, 1},
      {"prelu", {}, [](double x) { return x > 0 ? x : 0.25 * x; }, 1},
      {"leaky_relu", {}, [](double x) { return x > 0 ? x : 0.01 * x; }, 1},
      {"leaky_relu", {{"slope", -1.5}}, [](double x) { return x > 0 ? x : -1.5 * x; }, 1.5},
      {"sigmoid", {}, sigmoid, 0.25},
      {"tanh", {}, [](double x) { return std::tanh(x); }, 1},
      {"silu", {}, [&](double x) { return x * sigmoid(x); }, 1.0999},
      {"hard_sigmoid", {}, hard, 1.0 / 6},
      {"hard_sigmoid",
       {{"alpha", 0.2}, {"beta", 0.4}},
       [](double x) { return std::clamp(0.2 * x + 0.4, 0.0, 1.0); },
       0.2},
      {"hard_swish", {}, [&](double x) { return x * hard(x); }, 1.5},
  };
  for (const auto& one : cases) {
    INFO(one.type);
    One layer({static_cast<int64_t>(kPoints.size())}, one.type, one.attributes);
    const std::vector<double> y = layer(points());
    double steepest = 0;
    for (size_t i = 0; i < kPoints.size(); ++i) {
      CHECK(y[i] == Approx(one.value(kPoints[i])).margin(1e-12));
      const double step = 1e-6;
      steepest =
          std::max(steepest, std::fabs(one.value(kPoints[i] + step) - one.value(kPoints[i] - step)) / (2 * step));
    }
    CHECK(layer.bound() >= steepest * (1 - 1e-8));
    CHECK(layer.bound() == Approx(one.bound).epsilon(1e-5));
    CHECK(steepest >= one.bound * (1 - 1e-3));
  }
}

TEST_CASE("the machines agree on activations at their kinks and on what is no number", "[plain]") {
  const double nan = std::nan("");
  const Tensor x = Tensor::of<double>({1, 4}, {nan, 0, 6, -0.0});
  for (const char* machine : {"reference", "cpu"}) {
    One clip({4}, "clip", {{"min", int64_t{0}}, {"max", int64_t{6}}}, machine);
    const std::vector<double> y = clip(x);
    CHECK(std::isnan(y[0]));
    CHECK(y[1] == 0);
    CHECK(y[2] == 6);
    One prelu({4}, "prelu", {}, machine);
    CHECK(std::isnan(prelu(x)[0]));
    CHECK(prelu(x)[2] == 6);
  }
}

TEST_CASE("softmax: sums of one, large numbers, and a bound that is reached", "[plain]") {
  One layer({3, 2, 1}, "softmax");
  const Tensor x = with_layout(Tensor::of<double>({1, 3, 2, 1}, {1000, 0, 1000, 0, -1000, 0}), kMap);
  const std::vector<double> y = layer(x);
  CHECK(y[0] == 0.5);
  CHECK(y[2] == 0);
  for (size_t c = 3; c < 6; ++c) CHECK(y[c] == Approx(1.0 / 3));
  One two({2}, "softmax");
  const double step = 1e-4;
  const std::vector<double> plus = two(Tensor::of<double>({1, 2}, {step, -step})),
                            minus = two(Tensor::of<double>({1, 2}, {-step, step}));
  const double slope = (plus[0] - minus[0]) / (2 * step);
  CHECK(slope <= two.bound());
  CHECK(slope == Approx(0.5).epsilon(1e-6));
}

TEST_CASE("prelu learns its slopes, without decay, and its bound follows them", "[plain]") {
  One layer({2, 2, 2}, "prelu");
  const auto parameters = parameters_of(layer.graph);
  REQUIRE(parameters.size() == 1);
  CHECK(parameters[0].name == "layer.weight");
  CHECK_FALSE(parameters[0].parameter->decay);
  CHECK(test::numbers(*layer.backend, parameters[0].parameter->value) == std::vector<double>{0.25, 0.25});
  parameters[0].parameter->value = layer.backend->upload(Tensor::of<double>({2}, {0.5, -3}));
  state_changed(layer.graph);
  CHECK(layer.bound() == 3);
  Tape tape(*layer.backend, {.record = true, .training = true});
  const Tensor x = pixels({1, 2, 2, 2}, {-1, 1, 2, -3, -4, 5, -6, 7});
  tape.backward(ops::sum(layer.graph.forward(tape, tape.input(layer.backend->upload(x)))));
  CHECK(test::numbers(*layer.backend, parameters[0].parameter->grad) == std::vector<double>{-1 - 4 - 6, -3});
}

TEST_CASE("concat, subtract and multiply: order, shapes, bounds", "[plain]") {
  const auto backend = make_backend({"reference", 1});
  const auto graph_of = [&](const char* type, std::vector<std::string> inputs, const Shape& input = {2, 1, 2}) {
    return std::make_unique<Graph>(Description{input,
                                               {{"double", "scale_shift", {"input"}, {}},
                                                {"mean", "pool", {"input"}, {{"global", true}}},
                                                {"relu", "relu", {"input"}, {}},
                                                {"join", type, std::move(inputs), {}}}},
                                   *backend, RandomKey(1));
  };
  const Tensor x = backend->upload(pixels({1, 2, 1, 2}, {1, 2, -3, 4}));
  const auto joined = graph_of("concat", {"input", "relu", "double"});
  CHECK(joined->output() == Shape{6, 1, 2});
  CHECK(run(*joined, x) == std::vector<double>{1, 2, 1, 2, 1, 2, -3, 4, 0, 4, -3, 4});
  CHECK(joined->bounds()[3].from_input.value() == Approx(std::sqrt(3)).epsilon(1e-14));
  CHECK(joined->bounds()[3].from_input.value() >= std::sqrt(3));
  const auto difference = graph_of("subtract", {"relu", "input"});
  CHECK(run(*difference, x) == std::vector<double>{0, 0, 3, 0});
  CHECK(difference->bounds()[3].from_input.value() == Approx(2));
  CHECK(run(*graph_of("multiply", {"input", "relu"}), x) == std::vector<double>{1, 4, 0, 16});
  const auto excited = graph_of("multiply", {"input", "mean"});
  CHECK(run(*excited, x) == std::vector<double>{-1, 6, 3, 12});
  CHECK_THROWS_WITH(excited->bounds(), Contains("'join'") && Contains("none is known"));
  CHECK_THROWS_WITH(graph_of("multiply", {"mean", "input"}), Contains("(2, 1, 1)"));
  CHECK_THROWS_WITH(graph_of("multiply", {"input"}), Contains("takes 2 inputs, got 1"));
  CHECK_THROWS_WITH(graph_of("concat", {"mean", "input"}), Contains("cannot join"));
  CHECK_THROWS_WITH(graph_of("subtract", {"mean", "input"}), Contains("cannot subtract"));
}

TEST_CASE("one number a channel times and plus, and its bound", "[plain]") {
  One layer({2}, "scale_shift");
  for (const NamedTensor& named : state_of(layer.graph)) {
    *named.tensor = layer.backend->upload(named.name == "layer.weight" ? Tensor::of<double>({2}, {2, -5})
                                                                       : Tensor::of<double>({2}, {0.5, 1}));
  }
  state_changed(layer.graph);
  CHECK(layer(Tensor::of<double>({2, 2}, {1, 2, 3, 4})) == std::vector<double>{2.5, -9, 6.5, -19});
  CHECK(layer.bound() == 5);
  CHECK_FALSE(parameters_of(layer.graph)[0].parameter->decay);
}

TEST_CASE("pad, reshape and permute move numbers as other libraries do", "[plain]") {
  One pad({1, 1, 2}, "pad", {{"padding", std::vector<int64_t>{0, 1, 1, 2}}, {"value", 7.5}});
  CHECK(pad.graph.output() == Shape{1, 2, 5});
  CHECK(pad(ramp({1, 1, 1, 2}, kMap)) == std::vector<double>{7.5, 0, 1, 7.5, 7.5, 7.5, 7.5, 7.5, 7.5, 7.5});
  CHECK(pad.bound() == 1);
  One matrix({2, 3, 2}, "reshape", {{"shape", std::vector<int64_t>{4, 3}}});
  CHECK(matrix.graph.output() == Shape{4, 3});
  CHECK(matrix(ramp({1, 2, 3, 2}, kMap)) == std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  One turned({2, 3, 2}, "permute", {{"axes", std::vector<int64_t>{2, 0, 1}}});
  CHECK(turned.graph.output() == Shape{2, 2, 3});
  // Logical y[i][j][k] = x[j][k][i] = 6 j + 2 k + i, channels (i) fastest in memory, then k, then j.
  CHECK(turned(ramp({1, 2, 3, 2}, kMap)) == std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  One turned_back({2, 3, 2}, "permute", {{"axes", std::vector<int64_t>{1, 2, 0}}});
  // y[i][j][k] = x[k][i][j] = 6 k + 2 i + j, shape (3, 2, 2); memory order j, k, i.
  CHECK(turned_back(ramp({1, 2, 3, 2}, kMap)) == std::vector<double>{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11});
  const auto backend = make_backend({"reference", 1});
  Graph shuffle({{6, 2, 1},
                 {{"split", "reshape", {}, {{"shape", std::vector<int64_t>{2, 3, 2}}}},
                  {"swap", "permute", {}, {{"axes", std::vector<int64_t>{1, 0, 2}}}},
                  {"join", "reshape", {}, {{"shape", std::vector<int64_t>{6, 2, 1}}}},
                  {"flat", "flatten", {}, {}}}},
                *backend, RandomKey(1));
  CHECK(run(shuffle, backend->upload(ramp({1, 6, 2, 1}, kMap))) ==
        std::vector<double>{0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11});
}

TEST_CASE("windows may hang over the edge, and the padding counts only when asked", "[plain]") {
  const std::vector<int64_t> over = {0, 0, 1, 1};
  const auto pool = [&](const char* kind, bool count) {
    One layer({1, 4, 4}, "pool",
              {{"kind", std::string(kind)},
               {"kernel", int64_t{3}},
               {"stride", int64_t{2}},
               {"padding", over},
               {"count_pad", count}});
    Tensor x = ramp({1, 1, 4, 4}, kMap);
    for (double& value : x.host<double>()) value -= 20;
    CHECK(layer.graph.output() == Shape{1, 2, 2});
    return layer(x);
  };
  CHECK(pool("max", false) == std::vector<double>{-10, -9, -6, -5});
  CHECK(pool("average", false) == std::vector<double>{-15, -13.5, -9, -7.5});
  const std::vector<double> counted = pool("average", true);
  CHECK(counted[1] == Approx(-13.5 * 6 / 9));
  CHECK(counted[3] == Approx(-7.5 * 4 / 9));
  One whole({1, 4, 4}, "pool", {{"padding", over}, {"kernel", int64_t{2}}, {"count_pad", true}});
  CHECK(whole.bound() == Approx(0.5));
}

TEST_CASE("plain layers refuse settings and shapes that do not fit", "[plain]") {
  const auto build = [](const Shape& input, const char* type, Attributes attributes) {
    One layer(input, type, std::move(attributes));
  };
  using Integers = std::vector<int64_t>;
  const Shape map{2, 3, 4};
  CHECK_THROWS_WITH(build(map, "clip", {{"min", 2.0}, {"max", 1.0}}), Contains("at most max"));
  CHECK_THROWS_WITH(build(map, "clip", {{"low", 2.0}}), Contains("'low'"));
  CHECK_THROWS_WITH(build(map, "prelu", {{"slope", 2.0}}), Contains("'slope'"));
  CHECK_THROWS_WITH(build(map, "pad", {{"padding", int64_t{-1}}}), Contains("padding"));
  CHECK_THROWS_WITH(build(map, "pad", {{"padding", int64_t{1} << 40}}), Contains("65536"));
  CHECK_THROWS_WITH(build({5}, "pad", {}), Contains("(C, H, W)"));
  CHECK_THROWS_WITH(build(map, "reshape", {{"shape", Integers{5, 5}}}), Contains("24") && Contains("25"));
  CHECK_THROWS_WITH(build(map, "reshape", {{"shape", Integers{-24, -1}}}), Contains("positive"));
  CHECK_THROWS_WITH(build(map, "reshape", {{"shape", Integers{2, 3, 2, 2}}}), Contains("one to three"));
  CHECK_THROWS_WITH(build(map, "permute", {{"axes", Integers{0, 0, 1}}}), Contains("permutation"));
  CHECK_THROWS_WITH(build(map, "permute", {{"axes", Integers{1, 0}}}), Contains("orders 2 axes"));
  CHECK_THROWS_WITH(build(map, "pool", {{"count_pad", int64_t{1}}}), Contains("count_pad"));
}

TEST_CASE("rounding bounds of plain layers hold in f32", "[plain]") {
  const auto reference = make_backend({"reference", 1}), cpu = make_backend({"cpu", 1});
  for (const char* type : {"prelu", "leaky_relu", "scale_shift", "clip", "subtract", "concat"}) {
    INFO(type);
    const bool two = std::string(type) == "subtract" || std::string(type) == "concat";
    const std::vector<std::string> inputs =
        two ? std::vector<std::string>{"first", "input"} : std::vector<std::string>{"first"};
    const Attributes settings = std::string(type) == "clip" ? Attributes{{"max", 0.5}} : Attributes{};
    const Description net{{6, 5, 5}, {{"first", "relu", {}, {}}, {"layer", type, inputs, settings}}};
    Graph fast(net, *cpu, RandomKey(1)), slow(net, *reference, RandomKey(1));
    const auto fast_state = state_of(fast), slow_state = state_of(slow);
    for (size_t i = 0; i < fast_state.size(); ++i) {
      *fast_state[i].tensor = test::make_input(*cpu, {{6}}, 20 + i);
      *slow_state[i].tensor = reference->upload(cpu->download(*fast_state[i].tensor));
    }
    state_changed(fast);
    state_changed(slow);
    const Tensor x = test::make_input(*cpu, {{1, 6, 5, 5}, kMap}, 3);
    const std::vector<double> y = run(fast, x), exact = run(slow, reference->upload(cpu->download(x)));
    const Graph::Node& node = fast.nodes()[1];
    const RoundingBound bound = node.module->rounding(fast.input_shapes(node), cpu->arithmetic());
    double error = 0;
    for (size_t i = 0; i < y.size(); ++i) error += (y[i] - exact[i]) * (y[i] - exact[i]);
    const double norm = std::sqrt(cpu->sum_of_squares(x));  // at most what the inputs' norms sum to
    CHECK(std::sqrt(error) <= bound.relative.value() * norm * (two ? 2 : 1) + bound.absolute.value());
    if (std::string(type) == "clip" || std::string(type) == "concat") CHECK(error == 0);
  }
}

TEST_CASE("plain layers say to an exporter what they compute", "[plain]") {
  const auto backend = make_backend({"cpu", 1});
  using Integers = std::vector<int64_t>;
  const Description net{{6, 4, 2},
                        {{"numbers", "scale_shift", {}, {}},
                         {"slopes", "prelu", {}, {}},
                         {"leaky", "leaky_relu", {"input"}, {{"slope", -0.3}}},
                         {"silu", "silu", {"slopes"}, {}},
                         {"swish", "hard_swish", {"leaky"}, {}},
                         {"gate", "hard_sigmoid", {"silu"}, {{"alpha", 0.2}}},
                         {"less", "subtract", {"gate", "swish"}, {}},
                         {"more", "multiply", {"less", "numbers"}, {}},
                         {"all", "concat", {"more", "silu", "leaky"}, {}},
                         {"split", "reshape", {}, {{"shape", Integers{3, 6, 8}}}},
                         {"swap", "permute", {}, {{"axes", Integers{1, 2, 0}}}},
                         {"held", "clip", {}, {{"min", -1.0}}},
                         {"around", "pad", {}, {{"padding", Integers{1, 0, 0, 2}}, {"value", 0.25}}},
                         {"tanh", "tanh", {}, {}},
                         {"sigmoid", "sigmoid", {}, {}},
                         {"shares", "softmax", {}, {}}}};
  Graph graph(net, *backend, RandomKey(1));
  uint64_t seed = 30;
  for (const NamedTensor& named : state_of(graph)) *named.tensor = test::make_input(*backend, {{6}}, ++seed);
  state_changed(graph);
  const Tensor x = test::make_input(*backend, {{2, 6, 4, 2}, kMap}, 3);
  test::OpsEmitter emitter(*backend);
  const Emitter::Value end = graph.emit(emitter, emitter.start(x));
  const std::vector<double> said = test::numbers(*backend, emitter.value(end)), run_as = run(graph, x);
  REQUIRE(said.size() == run_as.size());
  for (size_t i = 0; i < said.size(); ++i) CHECK(said[i] == Approx(run_as[i]).margin(1e-6));
}

}  // namespace gsnet
