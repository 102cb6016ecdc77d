// The mathematics of adapters: golden matrices, density, gradients, singular values.
#include <catch2/catch.hpp>
#include <cmath>

#include "adapters/adapter_cases.h"
#include "adapters/rotation_link.h"
#include "io/safetensors.h"
#include "support/shared_folder.h"
#include "support/singular_values.h"

namespace gsnet {

TEST_CASE("GSOFT on the identity is the golden GS matrix", "[adapters][golden]") {
  GSNET_NEED_SHARED(shared);
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 2});
    for (int number = 0; number < 2; ++number) {
      INFO(machine << ", gsoft_" << number);
      const auto file = io::read_safetensors(shared / "golden" / ("gsoft_" + std::to_string(number) + ".safetensors"));
      const int64_t n = std::stoll(file.metadata.at("n")), b = n / std::stoll(file.metadata.at("nblocks"));
      Graph graph({{n}, {{"w", "linear", {}, {{"features", n}, {"bias", false}}}}}, *backend, RandomKey(1));
      Tensor identity = Tensor::empty({n, n}, DType::f64);
      std::ranges::fill(identity.host<double>(), 0.0);
      for (int64_t i = 0; i < n; ++i) identity.data<double>()[i * n + i] = 1;
      Weight& weight = *graph.nodes()[0].module->weight_site()->weight;
      weight.stored.value = backend->upload(identity);
      AdapterSpec spec;
      spec.block = b;
      spec.map = file.metadata.at("method") == "cayley" ? OrthogonalMap::cayley : OrthogonalMap::exp;
      AdapterBank bank(graph);
      bank.attach("gs", spec, {}, RandomKey(1));
      for (const NamedParameter& named : bank.parameters("gs")) {
        const Tensor raw = with_dtype(file.at(named.name == "w.in.0" ? "R" : "L"), DType::f64);
        Tensor v = Tensor::empty({n / b, b * (b - 1) / 2}, DType::f64);
        double* to = v.data<double>();
        for (int64_t i = 0; i < n / b; ++i) {
          const double* x = raw.data<double>() + i * b * b;
          for (int64_t r = 0; r < b; ++r) {
            for (int64_t c = r + 1; c < b; ++c) *to++ = 0.5 * (x[r * b + c] - x[c * b + r]);
          }
        }
        named.parameter->value = backend->upload(v);
        named.parameter->changed();
      }
      Tape tape(*backend, {});
      const Tensor golden = with_dtype(file.at("Q"), DType::f64);
      const auto q = golden.host<double>();
      CHECK(test::difference(test::numbers(*backend, weight.use(tape).value), {q.begin(), q.end()}) < 1e-5);
    }
  }
}

TEST_CASE("two GS factors are dense where the square of the block reaches the size", "[adapters]") {
  for (const auto& [n, block] : {std::pair{64, 8}, {128, 16}, {256, 16}, {512, 32}, {576, 24}, {1152, 36}}) {
    const std::vector two = {BlockPattern::shuffled(n, block, 0), BlockPattern::shuffled(n, block, 1)};
    CHECK(reach(two) == n);
  }
  for (const auto& [n, block] : {std::pair{64, 4}, {128, 8}, {512, 16}, {768, 8}, {768, 16}}) {
    const std::vector two = {BlockPattern::shuffled(n, block, 0), BlockPattern::shuffled(n, block, 1)};
    CHECK(reach(two) == block * block);
  }
  std::vector<BlockPattern> butterfly;
  for (int level = 0; level < 4; ++level) butterfly.push_back(BlockPattern::butterfly(64, 8, level, 4));
  CHECK(reach(butterfly) == 64);
  CHECK_THROWS_WITH(BlockPattern::butterfly(24, 8, 0, 3), Catch::Contains("a multiple of 32"));
}

TEST_CASE("gradients of every adapter agree with differences, in double", "[adapters][gradient]") {
  const auto backend = make_backend({"reference", 2});
  for (const AdapterSpec& spec : test::all_adapters()) {
    INFO(test::name_of(spec));
    Graph graph(test::mixed_network(), *backend, RandomKey(3));
    AdapterBank bank(graph);
    bank.attach("a", spec, {}, RandomKey(1));
    freeze(graph);
    bank.train("a", true);
    test::disturb(graph, bank, "a", 40);
    // DoRA's gradient takes the rows' lengths for constants: only its magnitudes have the function's own.
    const auto is_exact = [&](const std::string& name) {
      return spec.kind != AdapterKind::dora || name.ends_with("magnitude_vector");
    };
    const Tensor x = test::make_input(*backend, {{2, 6, 9, 8}, Layout::channels_last}, 5);
    const Tensor dy = test::make_input(*backend, {{2, 4}}, 6);
    Tape tape(*backend, {.record = true, .training = true});
    tape.backward(graph.forward(tape, tape.input(x)), dy);
    const auto value = [&] {
      Tape plain(*backend, {.training = true});
      const auto y = test::numbers(*backend, graph.forward(plain, plain.input(x)).value),
                 d = test::numbers(*backend, dy);
      double sum = 0;
      for (size_t i = 0; i < y.size(); ++i) sum += y[i] * d[i];
      return sum;
    };
    uint64_t seed = 500;
    for (const NamedParameter& named : bank.parameters("a")) {
      Parameter& parameter = *named.parameter;
      REQUIRE(parameter.grad);
      if (!is_exact(named.name)) continue;
      const Tensor at = parameter.value, direction = test::make_input(*backend, {at.shape()}, ++seed);
      constexpr double kStep = 1e-6;
      double ends[2];
      for (int side = 0; side < 2; ++side) {
        Tensor moved = backend->empty_like(at);
        backend->axpby(1, at, side == 0 ? -kStep : kStep, direction, moved);
        parameter.value = moved;
        ends[side] = value();
      }
      parameter.value = at;
      const auto g = test::numbers(*backend, parameter.grad), d = test::numbers(*backend, direction);
      double slope = 0, size = 0;
      for (size_t i = 0; i < g.size(); ++i) slope += g[i] * d[i], size += std::fabs(g[i] * d[i]);
      INFO(named.name);
      CHECK(std::fabs((ends[1] - ends[0]) / (2 * kStep) - slope) <= 1e-6 * std::max(1.0, size));
    }
    for (const NamedParameter& named : parameters_of(graph))
      CHECK((named.parameter->grad ? named.parameter->trainable : true));
  }
}

TEST_CASE("rotations of channels keep a weight's singular values", "[adapters]") {
  const auto backend = make_backend({"reference", 1});
  for (const AdapterKind kind : {AdapterKind::gsoft, AdapterKind::double_gsoft, AdapterKind::boft}) {
    Graph graph({{16}, {{"w", "linear", {}, {{"features", int64_t{8}}}}}}, *backend, RandomKey(1));
    AdapterBank bank(graph);
    AdapterSpec spec;
    spec.kind = kind;
    spec.block = 4;
    bank.attach("a", spec, {}, RandomKey(1));
    Weight& weight = *graph.nodes()[0].module->weight_site()->weight;
    const auto values = [&] {
      Tape tape(*backend, {});
      const auto w = test::numbers(*backend, weight.use(tape).value);
      return test::singular_values(Eigen::Map<const Eigen::Matrix<double, 8, 16, Eigen::RowMajor>>(w.data()));
    };
    const Eigen::VectorXd before = values();
    test::disturb(graph, bank, "a", 40, 1);
    CHECK((values() - before).norm() < 1e-12);
  }
}

TEST_CASE("COFT holds the generators back", "[adapters]") {
  const auto backend = make_backend({"cpu", 1});
  Graph graph({{16}, {{"w", "linear", {}, {{"features", int64_t{8}}}}}}, *backend, RandomKey(1));
  AdapterBank bank(graph);
  bank.attach("a", AdapterSpec::from({{"kind", std::string("oft")}, {"block", int64_t{4}}, {"constraint", 0.02}}), {},
              RandomKey(1));
  test::disturb(graph, bank, "a", 40, 1);
  Tape tape(*backend, {});
  graph.nodes()[0].module->weight_site()->weight->use(tape);
  for (const double norm : backend->sample_norms(bank.parameters("a")[0].parameter->value)) {
    CHECK(norm * std::sqrt(2.0) <= 0.02 / 2 * 1.00001);
  }
}

}  // namespace gsnet
