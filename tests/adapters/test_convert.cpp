// Adapters as others: one block, a LoRA.
#include <Eigen/Dense>
#include <catch2/catch.hpp>
#include <cmath>

#include "adapters/adapter_cases.h"
#include "adapters/convert.h"
#include "core/error.h"

namespace gsnet {
namespace {

using Catch::Contains;

Tensor base_of(Graph& graph, const std::string& layer) {
  for (const Graph::Node& node : graph.nodes()) {
    if (node.description.name == layer)
      return graph.backend().download(node.module->weight_site()->weight->stored.value);
  }
  throw Error("no " + layer);
}

/// The weight that a converted layer makes.
Tensor weight_of(Backend& backend, const ConvertedLayer& layer, const AdapterSite& site, const Tensor& base) {
  const auto link = make_link(backend, "new", layer.adapter.spec, site, base, RandomKey(1));
  for (const auto& [name, parameter] : link->parameters()) {
    for (const auto& [given, tensor] : layer.tensors) {
      if (given == name) parameter->value = backend.upload(tensor);
    }
    parameter->changed();
  }
  return adapted_weight(*link, base, backend);
}

double largest_difference(const Tensor& a, const Tensor& b) {
  double most = a.shape() == b.shape() ? 0 : 1e300;
  for (int64_t i = 0; i < a.numel(); ++i) most = std::max(most, std::fabs(a.data<double>()[i] - b.data<double>()[i]));
  return most;
}

double distance(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.numel(); ++i) sum += std::pow(a.data<double>()[i] - b.data<double>()[i], 2);
  return std::sqrt(sum);
}

}  // namespace

TEST_CASE("any rotation of the inputs is one block", "[adapters][convert]") {
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 1});
    for (const AdapterSpec& spec : test::all_adapters()) {
      INFO(machine << ": " << test::name_of(spec));
      Graph graph(test::mixed_network(), *backend, RandomKey(3));
      AdapterBank bank(graph);
      bank.attach("a", spec, {.layers = {"stem.conv", "head"}}, RandomKey(1));
      test::disturb(graph, bank, "a", 40);
      for (const auto& link : bank.links("a")) {
        const Tensor base = with_dtype(base_of(graph, link->site().layer), DType::f64);
        if (spec.low_rank() || spec.kind == AdapterKind::double_gsoft || spec.map == OrthogonalMap::neumann) {
          CHECK_THROWS_WITH(as_one_block(*link, *backend), Contains("is no rotation of one block"));
          continue;
        }
        const ConvertedLayer made = as_one_block(*link, *backend);
        CHECK(made.adapter.spec.kind == (spec.scale ? AdapterKind::boft : AdapterKind::oft));
        const Tensor wanted = adapted_weight(*link, base, *backend);
        CHECK(largest_difference(weight_of(*backend, made, link->site(), base), wanted) <
              (backend->dtype() == DType::f64 ? 1e-12 : 1e-6));
        CHECK(largest_difference(wanted, base) > 1e-2);
      }
    }
  }
}

TEST_CASE("a half turn has no Cayley transform; other matrices are not orthogonal", "[adapters][convert]") {
  CHECK_THROWS_WITH(cayley_generators(Tensor::of<double>({1, 2, 2}, {-1, 0, 0, -1})), Contains("eigenvalue of -1"));
  CHECK_THROWS_WITH(cayley_generators(Tensor::of<double>({1, 2, 2}, {1, 0.1, 0, 1})), Contains("not orthogonal"));
  const double t = 0.9;
  const Tensor v = cayley_generators(Tensor::of<double>({1, 2, 2}, {cos(t), sin(t), -sin(t), cos(t)}));
  CHECK(v.data<double>()[0] == Approx(std::tan(t / 2)));
}

TEST_CASE("any adapter is a LoRA of enough rank; less leaves out what it says", "[adapters][convert]") {
  const auto backend = make_backend({"reference", 1});
  for (const AdapterSpec& spec : test::all_adapters()) {
    INFO(test::name_of(spec));
    Graph graph(test::mixed_network(), *backend, RandomKey(3));
    AdapterBank bank(graph);
    bank.attach("a", spec, {}, RandomKey(1));
    test::disturb(graph, bank, "a", 40);
    for (const auto& link : bank.links("a")) {
      INFO(link->site().layer);
      const Tensor base = base_of(graph, link->site().layer), wanted = adapted_weight(*link, base, *backend);
      const ConvertedLayer whole = as_low_rank(*link, base, *backend, 1000);
      CHECK(whole.relative_error < 1e-12);
      CHECK(largest_difference(weight_of(*backend, whole, link->site(), base), wanted) < 1e-12);
      const ConvertedLayer one = as_low_rank(*link, base, *backend, 1);
      const double left = distance(weight_of(*backend, one, link->site(), base), wanted) / distance(wanted, base);
      CHECK(left == Approx(one.relative_error).margin(1e-12));
    }
  }
}

}  // namespace gsnet
