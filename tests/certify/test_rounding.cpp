// Bounds of rounding errors against what single precision really does: never below, for whole networks and layer kinds.
#include <catch2/catch.hpp>
#include <cmath>

#include "certify/margin.h"
#include "layers/lipconvnet.h"
#include "layers/orthogonal/skew_conv.h"
#include "support/op_cases.h"

namespace gsnet {
namespace {

Tensor pictures(uint64_t seed, const Shape& shape) {
  Random random{RandomKey(seed)};
  Tensor x = Tensor::empty(shape, DType::f32, Layout::channels_last);
  for (float& value : x.host<float>()) value = static_cast<float>(random.uniform(-2, 2));
  return x;
}

/// The same weights, which single precision holds exactly, on the reference machine.
std::unique_ptr<Graph> in_double(Graph& graph, Backend& reference) {
  auto exact = std::make_unique<Graph>(graph.description(), reference, RandomKey(0));
  const std::vector<NamedTensor> from = state_of(graph), to = state_of(*exact);
  for (size_t i = 0; i < from.size(); ++i) *to[i].tensor = reference.upload(graph.backend().download(*from[i].tensor));
  state_changed(*exact);
  return exact;
}

std::vector<double> run(Graph& graph, const Tensor& x) {
  Tape tape(graph.backend(), {});
  return test::numbers(graph.backend(), graph.forward(tape, tape.input(graph.backend().upload(x))).value);
}

Model model_of(const Description& description, Backend& backend, uint64_t seed) {
  Model model;
  model.info.description = description;
  model.info.mean.assign(static_cast<size_t>(description.input[0]), 0);
  model.info.stddev.assign(static_cast<size_t>(description.input[0]), 1);
  model.graph = std::make_unique<Graph>(description, backend, RandomKey(seed));
  return model;
}

NodeDescription node(const std::string& name, const std::string& type, Attributes attributes) {
  return {name, type, {}, std::move(attributes)};
}

/// |executed - real|_2 of every picture's logits, beside its bound. The input's normalisation is exact here, but the
/// kernels are made in the machine's arithmetic: `real` are layers without parametrisation.
struct Compared {
  double difference, bound;
};

std::vector<Compared> compare(Model& model, Backend& reference, uint64_t seed, int64_t count) {
  const Shape in = model.graph->input();
  const Tensor x = pictures(seed, {count, in[0], in[1], in[2]});
  const std::unique_ptr<Graph> exact = in_double(*model.graph, reference);
  Tape tape(model.graph->backend(), {});
  RoundingModel::Norms norms;
  const Var logits = forward_with_norms(*model.graph, tape, tape.input(model.graph->backend().upload(x)), norms);
  const std::vector<double> executed = test::numbers(model.graph->backend(), logits.value), real = run(*exact, x);
  const std::vector<LogitError> errors = RoundingModel(model).errors(norms);
  const double last = model.graph->bounds().back().layer.value.value();
  const size_t classes = executed.size() / static_cast<size_t>(count);
  std::vector<Compared> compared;
  for (size_t n = 0; n < errors.size(); ++n) {
    double squares = 0;
    for (size_t c = n * classes; c < (n + 1) * classes; ++c)
      squares += (executed[c] - real[c]) * (executed[c] - real[c]);
    CHECK(errors[n].features.ball >= errors[n].features.here);
    compared.push_back({std::sqrt(squares), last * errors[n].features.here + errors[n].last.here});
  }
  return compared;
}

void check_covered(const std::vector<Compared>& compared, double loosest) {
  for (const Compared& one : compared) {
    INFO("difference " << one.difference << ", bound " << one.bound);
    CHECK(one.difference <= one.bound);
    CHECK(one.bound <= loosest * std::max(one.difference, 1e-7));
  }
}

}  // namespace

TEST_CASE("single precision stays within the bound, for every kind of layer", "[rounding]") {
  const auto cpu = make_backend({"cpu", 2}), reference = make_backend({"reference", 2});
  const auto i = [](int64_t value) { return value; };
  const std::vector<Description> nets = {
      {{3, 8, 8},
       {node("c", "conv2d", {{"channels", i(16)}, {"padding", i(1)}}), node("r", "relu", {}), node("f", "flatten", {}),
        node("h", "linear", {{"features", i(10)}})}},
      {{4, 8, 8},
       {node("c", "conv2d", {{"channels", i(8)}, {"padding", i(1)}, {"stride", i(2)}, {"groups", i(2)}}),
        node("m", "maxmin", {}), node("p", "pool", {{"kind", std::string("l2")}}), node("f", "flatten", {}),
        node("h", "linear", {{"features", i(5)}})}},
      {{4, 8, 8},
       {node("a", "conv2d", {{"channels", i(4)}, {"padding", i(1)}}),
        {"s", "add", {"a", "input"}, {}},
        node("u", "householder", {}),
        node("p", "pool", {{"global", true}}),
        node("f", "flatten", {}),
        node("h", "linear", {{"features", i(5)}})}},
  };
  for (size_t net = 0; net < nets.size(); ++net) {
    INFO("network " << net);
    Model model = model_of(nets[net], *cpu, 7 + net);
    check_covered(compare(model, *reference, net, 40), 1e4);
  }
}

TEST_CASE("the executed kernel of an exponential is within its bound", "[rounding]") {
  const auto cpu = make_backend({"cpu", 2}), reference = make_backend({"reference", 2});
  for (const int64_t count : {1, 24}) {  // few pictures take another path
    for (const int64_t m : {4, 16, 24}) {
      Attributes settings = {{"channels", 2 * m}, {"groups", int64_t{2}}, {"bias", false}};
      SkewConv layer(SkewConvSpec::from(settings), {*cpu, RandomKey(static_cast<uint64_t>(m)), {{2 * m, 8, 8}}});
      const Tensor x = pictures(5, {count, 2 * m, 8, 8});
      Tape tape(*cpu, {});
      const Var y = layer.forward(tape, tape.input(cpu->upload(x)));
      const std::vector<Shape> shape = {{2 * m, 8, 8}};
      const RoundingBound bound = layer.rounding(shape, cpu->arithmetic());
      // The same kernel and the same coefficients in double.
      const Tensor k = reference->upload(cpu->download(layer.evaluation_kernel()));
      const SeriesSpec spec{.coefficients = series_coefficients({SeriesFamily::chebyshev, 9}, 2.1), .groups = 2};
      Tensor exact = reference->empty(x.shape(), Layout::channels_last);
      reference->conv_exp(reference->upload(x), k, spec, exact, nullptr);
      Tensor difference = reference->empty(x.shape(), Layout::channels_last);
      reference->axpby(1, exact, -1, reference->upload(cpu->download(y.value)), difference);
      const std::vector<double> errors = reference->sample_norms(difference), norms = cpu->sample_norms(cpu->upload(x));
      for (size_t n = 0; n < errors.size(); ++n) {
        INFO(m << " channels a group: " << errors[n] << " of " << norms[n] * bound.relative.value());
        CHECK(errors[n] <= norms[n] * bound.relative.value() + bound.absolute.value());
        CHECK(errors[n] >= 1e-4 * norms[n] * bound.relative.value());  // not absurdly loose
      }
    }
  }
}

TEST_CASE("a series with a small kernel is within its bound whichever path runs it", "[rounding]") {
  for (const char* machine : {"cpu", "reference"}) {
    const auto backend = make_backend({machine, 1}), reference = make_backend({"reference", 1});
    for (const double norm : {1e-5, 1e-3, 3.0}) {
      for (const int64_t count : {1, 16}) {
        const Attributes settings = {{"channels", int64_t{32}}, {"bias", false}, {"norm", norm}};
        SkewConv layer(SkewConvSpec::from(settings), {*backend, RandomKey(2), {{32, 4, 4}}});
        const Tensor x = pictures(9, {count, 32, 4, 4});
        Tape tape(*backend, {});
        const Var y = layer.forward(tape, tape.input(backend->upload(x)));
        const std::vector<Shape> shape = {{32, 4, 4}};
        const double bound = layer.rounding(shape, backend->arithmetic()).relative.value();
        const SeriesSpec spec{.coefficients = series_coefficients({SeriesFamily::chebyshev, 9}, norm)};
        Tensor exact = reference->empty(x.shape(), Layout::channels_last);
        const Tensor k = reference->upload(backend->download(layer.evaluation_kernel()));
        reference->conv_exp(reference->upload(x), k, spec, exact, nullptr);
        reference->axpby(1, exact, -1, reference->upload(backend->download(y.value)), exact);
        const std::vector<double> errors = reference->sample_norms(exact),
                                  norms = backend->sample_norms(backend->upload(x));
        INFO(machine << ", norm " << norm << ", " << count << " pictures: " << errors[0] << " of " << norms[0] * bound);
        for (size_t n = 0; n < errors.size(); ++n) CHECK(errors[n] <= norms[n] * bound);
      }
    }
  }
}

TEST_CASE("where numbers overflow on the way nothing is certified as executed", "[rounding]") {
  // One channel is driven to -infinity and cut off by a ReLU: logits are finite all the same.
  const auto cpu = make_backend({"cpu", 1});
  const auto conv = [](const char* name) {
    return node(name, "conv2d", {{"channels", int64_t{2}}, {"kernel", int64_t{1}}});
  };
  Model model = model_of({{1, 1, 1},
                          {conv("a"), conv("b"), node("r", "relu", {}), node("f", "flatten", {}),
                           node("h", "linear", {{"features", int64_t{2}}})}},
                         *cpu, 1);
  const std::vector<std::vector<double>> values = {
      {1, 0}, {33554432, -3e38}, {1, 0, 0, 1}, {-33554432, -3e38}, {1, 0, 0, 0}, {-2, 0}};
  const std::vector<NamedTensor> state = state_of(*model.graph);
  for (size_t i = 0; i < state.size(); ++i)
    *state[i].tensor = cpu->upload(Tensor::of<double>(state[i].tensor->shape(), values[i]));
  state_changed(*model.graph);
  Tape tape(*cpu, {});
  RoundingModel::Norms norms;
  const Tensor x = Tensor::of<float>({1, 1}, {2.1F}).as_map();
  const Var logits = forward_with_norms(*model.graph, tape, tape.input(cpu->upload(x)), norms);
  const LogitError error = RoundingModel(model).errors(norms)[0];
  const Certificate certificate =
      certify(test::numbers(*cpu, logits.value), MarginGeometry(*model.graph), UpperBound::proven(10), &error);
  CHECK(certificate.executed_radius_l2 == 0);
}

TEST_CASE("squares that overflow, and pictures that underflow, are covered", "[rounding]") {
  const auto cpu = make_backend({"cpu", 1});
  const auto errors_of = [&](Model& model, float pixel) {
    Tape tape(*cpu, {});
    RoundingModel::Norms norms;
    Tensor x = Tensor::empty({1, 1, 2, 2}, DType::f32, Layout::channels_last);
    for (float& value : x.host<float>()) value = pixel;
    forward_with_norms(*model.graph, tape, tape.input(cpu->upload(x)), norms);
    return RoundingModel(model).errors(norms)[0];
  };
  const auto scaled = [&](double factor) {  // a channel times factor, its norm over 2 x 2, two logits
    Model model = model_of({{1, 2, 2},
                            {node("s", "scale_shift", {}), node("p", "pool", {{"kind", std::string("l2")}}),
                             node("f", "flatten", {}), node("h", "linear", {{"features", int64_t{2}}})}},
                           *cpu, 1);
    const std::vector<NamedTensor> state = state_of(*model.graph);
    *state[0].tensor = cpu->upload(Tensor::of<double>(state[0].tensor->shape(), std::vector<double>{factor}));
    state_changed(*model.graph);
    return model;
  };
  Model large = scaled(3e19), usual = scaled(3);
  CHECK(std::isinf(errors_of(large, 1).last.here));
  CHECK(std::isfinite(errors_of(usual, 1).last.here));
  // Numbers below the smallest f32 are rounded to its multiples, 2^-149: an error that no relative one covers.
  Model plain =
      model_of({{1, 2, 2}, {node("f", "flatten", {}), node("h", "linear", {{"features", int64_t{2}}})}}, *cpu, 1);
  CHECK(errors_of(plain, 0).features.here >= 2 * 0x1p-149);
  CHECK(errors_of(plain, 0).features.here < 1e-40);
}

TEST_CASE("executed radii are positive, below the real ones, and close to them", "[rounding]") {
  const auto cpu = make_backend({"cpu", 2});
  const Attributes settings = {{"depth", int64_t{5}}, {"width", int64_t{8}}, {"groups", int64_t{4}}};
  Model model = model_of(lipconvnet(settings, {3, 32, 32}, 10), *cpu, 3);
  Tape tape(*cpu, {});
  RoundingModel::Norms norms;
  const Var logits =
      forward_with_norms(*model.graph, tape, tape.input(cpu->upload(pictures(1, {8, 3, 32, 32}))), norms);
  const std::vector<double> z = test::numbers(*cpu, logits.value);
  const MarginGeometry geometry(*model.graph);
  const std::vector<LogitError> errors = RoundingModel(model).errors(norms);
  for (size_t n = 0; n < 8; ++n) {
    const Certificate certificate =
        certify(std::span(z).subspan(10 * n, 10), geometry, UpperBound::proven(1), &errors[n]);
    INFO("radius " << certificate.radius_l2 << ", executed " << certificate.executed_radius_l2);
    CHECK(certificate.executed_radius_l2 <= certificate.radius_l2);
    CHECK(certificate.executed_radius_l2 >= certificate.radius_l2 - 0.05);
  }
}

TEST_CASE("a search for rounding counterexamples finds none within the executed radius", "[rounding]") {
  // A linear classifier whose weights cancel: real arithmetic certifies pictures that single precision gets wrong
  // (Jin et al., "Getting a-round guarantees", 2022).
  const auto cpu = make_backend({"cpu", 1});
  int64_t broken_real = 0, broken_executed = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Random random{RandomKey(seed)};
    constexpr int64_t kSize = 64;
    Model model = model_of(
        {{1, 8, 8}, {node("f", "flatten", {}), node("h", "linear", {{"features", int64_t{2}}, {"bias", false}})}}, *cpu,
        seed);
    std::vector<double> w(2 * kSize), x(kSize);
    for (double& value : w) value = static_cast<float>(random.normal());
    for (double& value : x) value = static_cast<float>(random.uniform(0, 1));
    *state_of(*model.graph)[0].tensor = cpu->upload(Tensor::of<double>({2, kSize}, {w.begin(), w.end()}));
    state_changed(*model.graph);
    const MarginGeometry geometry(*model.graph);
    double margin = 0, length = 0;
    for (size_t i = 0; i < kSize; ++i) {
      margin += (w[i] - w[kSize + i]) * x[i];
      length += (w[i] - w[kSize + i]) * (w[i] - w[kSize + i]);
    }
    for (int step = 0; step < 200; ++step) {  // pictures just on either side of the boundary
      const double to = margin / length + (static_cast<double>(step) - 100) * 2e-9;
      Tensor near = Tensor::empty({1, 1, 8, 8}, DType::f32, Layout::channels_last), start = near;
      start = Tensor::empty({1, 1, 8, 8}, DType::f32, Layout::channels_last);
      double distance = 0;
      for (size_t i = 0; i < kSize; ++i) {
        const double d = w[i] - w[kSize + i];
        start.host<float>()[i] = static_cast<float>(x[i] - (to - 0.01 * margin / length) * d);
        near.host<float>()[i] = static_cast<float>(x[i] - to * d);
        const double moved = static_cast<double>(near.host<float>()[i]) - static_cast<double>(start.host<float>()[i]);
        distance += moved * moved;
      }
      Tape tape(*cpu, {});
      RoundingModel::Norms norms;
      const Var logits = forward_with_norms(*model.graph, tape, tape.input(cpu->upload(start)), norms);
      const std::vector<double> z = test::numbers(*cpu, logits.value), moved = run(*model.graph, near);
      const LogitError error = RoundingModel(model).errors(norms)[0];
      const Certificate certificate = certify(z, geometry, UpperBound::proven(1), &error);
      const int other = moved[0] > moved[1] ? 0 : moved[1] > moved[0] ? 1 : -1;
      if (other == certificate.predicted) continue;
      broken_real += std::sqrt(distance) <= certificate.radius_l2 ? 1 : 0;
      broken_executed += std::sqrt(distance) <= certificate.executed_radius_l2 ? 1 : 0;
    }
  }
  CHECK(broken_executed == 0);
  WARN(
      broken_real << " pictures were misclassified within the radius of real arithmetic, none within the executed one");
}

}  // namespace gsnet
