// Graphs from descriptions: wiring, refusals, folds.
#include <catch2/catch.hpp>

#include "core/error.h"
#include "layers/graph.h"
#include "layers/lipconvnet.h"
#include "support/op_cases.h"

namespace gsnet {

TEST_CASE("a residual graph computes, backpropagates and bounds its sum", "[graph]") {
  const auto backend = make_backend({"reference", 1});
  Description net{{4, 4, 4},
                  {{"conv", "skew_conv", {}, {{"channels", int64_t{4}}}},
                   {"act", "relu", {"conv"}, {}},
                   {"sum", "add", {"act", "input"}, {}},
                   {"pool", "pool", {}, {{"global", true}}},
                   {"flat", "flatten", {}, {}},
                   {"head", "linear", {}, {{"features", int64_t{3}}, {"unit_rows", true}}}}};
  Graph graph(net, *backend, RandomKey(1));
  CHECK(graph.output() == Shape{3});
  const auto bounds = graph.bounds();
  CHECK(bounds[2].from_input.value() == Approx(2));
  CHECK(bounds[3].from_input.value() == Approx(0.5));
  Tape tape(*backend, {.record = true, .training = true});
  const Var x = tape.input(test::make_input(*backend, {{2, 4, 4, 4}, Layout::channels_last}, 1), true);
  tape.backward(ops::sum(graph.forward(tape, x)));
  CHECK(tape.grad(x));
}

TEST_CASE("a description that cannot be is refused with the layer named", "[graph]") {
  const auto backend = make_backend({"reference", 1});
  const auto build = [&](std::vector<NodeDescription> nodes) {
    Graph graph({{3, 8, 8}, std::move(nodes)}, *backend, RandomKey(1));
  };
  CHECK_THROWS_WITH(build({{"a", "conv9", {}, {}}}), Catch::Contains("'a'") && Catch::Contains("conv9"));
  CHECK_THROWS_WITH(build({{"a", "relu", {"b"}, {}}}), Catch::Contains("'b'"));
  CHECK_THROWS_WITH(build({{"a", "relu", {}, {}}, {"a", "relu", {}, {}}}), Catch::Contains("two layers"));
  CHECK_THROWS_WITH(build({{"a", "skew_conv", {}, {{"channels", int64_t{4}}, {"colour", true}}}}),
                    Catch::Contains("colour"));
  CHECK_THROWS_WITH(build({{"a", "skew_conv", {}, {{"channels", std::string("x")}}}}), Catch::Contains("channels"));
  CHECK_THROWS_WITH(build({{"a", "skew_conv", {}, {{"channels", int64_t{4}}, {"kernel", int64_t{2}}}}}),
                    Catch::Contains("odd"));
  CHECK_THROWS_WITH(build({{"a", "maxmin", {}, {}}}), Catch::Contains("even"));
  CHECK_THROWS_WITH(build({{"a", "linear", {}, {{"features", int64_t{2}}}}}), Catch::Contains("flatten"));
  CHECK_THROWS_WITH(lipconvnet({{"depth", int64_t{7}}}, {3, 32, 32}, 10), Catch::Contains("depth"));
  CHECK_THROWS_WITH(lipconvnet({}, {3, 28, 28}, 10), Catch::Contains("32"));
}

TEST_CASE("every group of the first layer sees the picture", "[graph]") {
  const auto groups = [](const Attributes& settings) {
    return lipconvnet(settings, {3, 32, 32}, 10).nodes[0].attributes.integer("groups");
  };
  CHECK(groups({{"depth", int64_t{5}}}) == 4);   // 12 channels after space-to-depth
  CHECK(groups({{"depth", int64_t{15}}}) == 2);  // 3 channels
  CHECK(groups({{"depth", int64_t{15}}, {"fit", std::string("head")}}) == 4);
}

TEST_CASE("a shuffle of any number of channels deals every group's channels out to all groups", "[graph]") {
  for (const bool paired : {false, true}) {
    const int64_t unit = paired ? 2 : 1;
    for (int64_t channels = 1; channels <= 40; ++channels) {
      for (int64_t groups = 1; groups <= 8; ++groups) {
        INFO(channels << " channels, " << groups << " groups");
        const ChannelMap map = ChannelMap::shuffle(channels, groups, paired);  // throws unless a permutation's source
        REQUIRE(map.outputs() == channels);
        if (channels <= groups * unit) CHECK(map.is_identity());
        for (int64_t i = 1; i < channels; ++i) {  // neighbours in a unit stay so; in a group, units are `groups` apart
          const int64_t step = map.source()[static_cast<size_t>(i)] - map.source()[static_cast<size_t>(i - 1)];
          const bool next_group = step < 0 || map.source()[static_cast<size_t>(i)] < groups * unit;
          CHECK((step == 1 || step == groups * unit - (unit - 1) || next_group));
        }
      }
    }
  }
}

TEST_CASE("a channel map and its adjoint", "[graph]") {
  const ChannelMap paired = ChannelMap::shuffle(8, 2, true);
  const std::vector<int32_t> expected = {0, 1, 4, 5, 2, 3, 6, 7};
  CHECK(std::vector<int32_t>(paired.source().begin(), paired.source().end()) == expected);
  CHECK(paired.then(paired.adjoint()).is_identity());
  const ChannelMap grouped = ChannelMap::per_group(12, 16, 4);
  const std::vector<int32_t> spread = {0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1};
  CHECK(std::vector<int32_t>(grouped.source().begin(), grouped.source().end()) == spread);
  CHECK(grouped.then(grouped.adjoint()).is_identity());
  CHECK_THROWS_WITH(ChannelMap(3, {0, 0}), Catch::Contains("twice"));
}

}  // namespace gsnet
