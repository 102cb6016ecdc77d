// Adapters on a network: they start at the base, merge to what they compute, and come off without a trace.
#include <catch2/catch.hpp>

#include "adapters/adapter_cases.h"
#include "adapters/rotation_link.h"
#include "autograd/ops.h"
#include "core/error.h"

namespace gsnet {

using test::difference;
using test::disturb;
using test::outputs;

TEST_CASE("a fresh adapter changes nothing", "[adapters]") {
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 2});
    for (const AdapterSpec& spec : test::all_adapters()) {
      INFO(machine << ": " << test::name_of(spec));
      Graph graph(test::mixed_network(), *backend, RandomKey(3));
      const auto before = outputs(graph);
      AdapterBank bank(graph);
      bank.attach("new", spec, {}, RandomKey(1));
      // DoRA divides a row by its length and multiplies it by the same number.
      const double allowed = spec.kind == AdapterKind::dora ? 1e-6 : 0;
      CHECK(difference(before, outputs(graph)) <= allowed);
    }
  }
}

TEST_CASE("merged is unmerged, and unmerge restores the base bit for bit", "[adapters]") {
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 2});
    const double tolerance = backend->dtype() == DType::f64 ? 1e-12 : 1e-5;
    for (const AdapterSpec& spec : test::all_adapters()) {
      INFO(machine << ": " << test::name_of(spec));
      Graph graph(test::mixed_network(), *backend, RandomKey(3));
      const auto base = outputs(graph);
      AdapterBank bank(graph);
      bank.attach("a", spec, {}, RandomKey(1));
      disturb(graph, bank, "a", 40);
      const auto adapted = outputs(graph);
      CHECK(difference(base, adapted) > 1e-3);
      bank.merge();
      CHECK(parameters_of(graph).size() ==
            parameters_of(*std::make_unique<Graph>(test::mixed_network(), *backend, RandomKey(3))).size());
      CHECK(difference(adapted, outputs(graph)) <= tolerance);
      CHECK_THROWS_WITH(bank.enable("a", false), Catch::Contains("merged"));
      bank.unmerge();
      CHECK(difference(adapted, outputs(graph)) <= tolerance);
      bank.remove("a");
      CHECK(difference(base, outputs(graph)) == 0);
    }
  }
}

TEST_CASE("several adapters: on, off, one alone, deleted", "[adapters]") {
  const auto backend = make_backend({"reference", 1});
  Graph graph(test::mixed_network(), *backend, RandomKey(3));
  const auto base = outputs(graph);
  AdapterBank bank(graph);
  const auto specs = test::all_adapters();
  bank.attach("day", specs[0], {}, RandomKey(1));
  bank.attach("night", specs[7], {.layers = {"head", "block.*"}}, RandomKey(2));
  disturb(graph, bank, "day", 40);
  disturb(graph, bank, "night", 80);
  const auto both = outputs(graph);
  bank.only("day");
  const auto day = outputs(graph);
  bank.only("night");
  const auto night = outputs(graph);
  bank.only("");
  CHECK(difference(base, outputs(graph)) == 0);
  bank.enable("day", true);
  CHECK(difference(day, outputs(graph)) == 0);
  bank.enable("night", true);
  CHECK(difference(both, outputs(graph)) == 0);
  bank.remove("day");
  CHECK(difference(night, outputs(graph)) < 1e-12);
  CHECK(bank.names() == std::vector<std::string>{"night"});
  CHECK_THROWS_WITH(bank.only("day"), Catch::Contains("no adapter 'day'"));
}

TEST_CASE("strength goes from the base to the adapter along the geodesic", "[adapters]") {
  const auto backend = make_backend({"reference", 1});
  for (const AdapterSpec& spec : test::all_adapters()) {
    INFO(test::name_of(spec));
    Graph graph(test::mixed_network(), *backend, RandomKey(3));
    const auto base = outputs(graph);
    AdapterBank bank(graph);
    bank.attach("a", spec, {}, RandomKey(1));
    disturb(graph, bank, "a", 40);
    const auto adapted = outputs(graph);
    bank.set_strength("a", 0);
    CHECK(difference(base, outputs(graph)) == 0);
    bank.set_strength("a", 1 - 1e-12);
    CHECK(difference(adapted, outputs(graph)) < 1e-8);
    bank.set_strength("a", 1e-12);
    CHECK(difference(base, outputs(graph)) < 1e-8);
  }
  Tensor v = test::make_input(*backend, {{3, 10}}, 5);
  for (const OrthogonalMap map : {OrthogonalMap::cayley, OrthogonalMap::exp}) {
    AdapterSpec spec;
    spec.map = map;
    Tape tape(*backend, {});
    const Var half = tape.input(geodesic(v, 5, spec, 0.5)), whole = tape.input(geodesic(v, 5, spec, 1));
    const Var twice = ops::matmul(half, false, half, false);
    CHECK(difference(test::numbers(*backend, twice.value), test::numbers(*backend, whole.value)) < 1e-12);
    const Var k = ops::skew_from_triangle(tape.input(v), 5);
    const Var direct = map == OrthogonalMap::cayley ? ops::cayley(k) : ops::matrix_exp(k);
    CHECK(difference(test::numbers(*backend, direct.value), test::numbers(*backend, whole.value)) < 1e-10);
  }
}

TEST_CASE("a weighted sum of adapters", "[adapters]") {
  const auto backend = make_backend({"reference", 1});
  const auto specs = test::all_adapters();
  for (const size_t which : {size_t{0}, size_t{6}, size_t{7}}) {
    INFO(test::name_of(specs[which]));
    Graph graph(test::mixed_network(), *backend, RandomKey(3));
    const auto base = outputs(graph);
    AdapterBank bank(graph);
    bank.attach("a", specs[which], {}, RandomKey(1));
    bank.attach("b", specs[which], {}, RandomKey(2));
    disturb(graph, bank, "a", 40);
    disturb(graph, bank, "b", 80);
    bank.only("b");
    const auto b = outputs(graph);
    bank.combine("sum", {{"a", 0.0}, {"b", 1.0}});
    CHECK(difference(b, outputs(graph)) < 1e-10);
    bank.remove("sum");
    bank.combine("none", {{"a", 0.5}, {"a", -0.5}});
    CHECK(difference(base, outputs(graph)) < 1e-10);
  }
  Graph graph(test::mixed_network(), *backend, RandomKey(3));
  AdapterBank bank(graph);
  bank.attach("a", specs[0], {}, RandomKey(1));
  bank.attach("b", specs[1], {}, RandomKey(1));
  CHECK_THROWS_WITH(bank.combine("sum", {{"a", 1.0}, {"b", 1.0}}), Catch::Contains("one kind and shape"));
  CHECK(bank.names() == std::vector<std::string>{"a", "b"});
}

TEST_CASE("patterns say which layers, and a pattern that fits none is told", "[adapters]") {
  const auto backend = make_backend({"reference", 1});
  Graph graph(test::mixed_network(), *backend, RandomKey(3));
  const auto names = [&](const Targets& targets) {
    std::string all;
    for (const size_t node : find_targets(graph, targets)) all += graph.nodes()[node].description.name + " ";
    return all;
  };
  CHECK(names({}) == "stem.conv block.grouped block.depthwise block.wide block.point head ");
  CHECK(names({.layers = {"conv", "head"}}) == "stem.conv head ");
  CHECK(names({.layers = {"block.*"}, .exclude = {"*wide"}}) == "block.grouped block.depthwise block.point ");
  CHECK(names({.layers = {"re:block\\.(wide|point)"}}) == "block.wide block.point ");
  CHECK(names({.kinds = {"conv3x3"}}) == "stem.conv block.grouped block.depthwise ");
  CHECK(names({.kinds = {"depthwise", "linear"}}) == "block.depthwise head ");
  CHECK_THROWS_WITH(names({.layers = {"conv9"}}),
                    Catch::Contains("'conv9' fits no layer") && Catch::Contains("stem.conv"));
  CHECK_THROWS_WITH(names({.layers = {"act"}}), Catch::Contains("'act' fits no layer"));
  CHECK_THROWS_WITH(names({.kinds = {"dense"}}), Catch::Contains("no kind of layer"));
  CHECK_THROWS_WITH(names({.layers = {"re:("}}), Catch::Contains("no regular expression"));
  CHECK_THROWS_WITH(names({.layers = {"head"}, .kinds = {"conv"}}), Catch::Contains("no layer is left"));
}

TEST_CASE("what an adapter could not do is said", "[adapters]") {
  const auto backend = make_backend({"reference", 1});
  Graph graph(test::mixed_network(), *backend, RandomKey(3));
  AdapterBank bank(graph);
  AdapterSpec spec;
  spec.block = 4;
  const auto rows = bank.attach("a", spec, {}, RandomKey(1), {{"head", {{"block", int64_t{2}}}}});
  REQUIRE(rows.size() == 6);
  CHECK(rows[0].report.shape == "2 x 2 blocks of 3");
  CHECK(rows[0].report.note == "blocks of 3, not 4");
  CHECK_THAT(rows[2].skipped, Catch::Contains("one channel"));
  CHECK(rows[5].report.shape == "2 x 4 blocks of 2");
  CHECK_THAT(rows[5].report.note, Catch::Contains("not dense: an input reaches 4 of 8"));
  CHECK_THROWS_WITH(bank.attach("a", spec, {}, RandomKey(1)), Catch::Contains("'a' already"));
  CHECK_THROWS_WITH(bank.attach("b", {LayerAdapter{"nowhere", spec}}, RandomKey(1)), Catch::Contains("'nowhere'"));
  CHECK_THROWS_WITH(bank.attach("b", {LayerAdapter{"act", spec}}, RandomKey(1)), Catch::Contains("cannot take"));
  CHECK_THROWS_WITH(bank.attach("b", spec, {.layers = {"block.depthwise"}}, RandomKey(1)),
                    Catch::Contains("nothing to turn"));
  AdapterSpec wide;
  wide.kind = AdapterKind::lora;
  wide.rank = 7;
  CHECK_THROWS_WITH(bank.attach("b", wide, {.layers = {"head"}}, RandomKey(1)), Catch::Contains("rank of 7"));
  freeze(graph);
  bank.train("a", true);
  CHECK_THAT(trainable_line(graph), Catch::StartsWith("trainable params: "));
}

}  // namespace gsnet
