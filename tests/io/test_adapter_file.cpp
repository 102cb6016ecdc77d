// Adapter files: written, read, put on the network again; refused where they do not fit.
#include <catch2/catch.hpp>

#include "adapters/adapter_cases.h"
#include "core/error.h"
#include "io/adapter_file.h"
#include "io/model_file.h"
#include "io/temporary_folder.h"

namespace gsnet {

using test::difference;
using test::disturb;
using test::outputs;

namespace {

Model base_model(Backend& backend, uint64_t seed = 3) {
  Model model;
  model.info.description = test::mixed_network();
  model.info.mean.assign(6, 0.0);
  model.info.stddev.assign(6, 1.0);
  model.graph = std::make_unique<Graph>(model.info.description, backend, RandomKey(seed));
  return model;
}

}  // namespace

TEST_CASE("an adapter file gives the same network again", "[adapters][io]") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend({"cpu", 1});
  for (const AdapterSpec& spec : test::all_adapters()) {
    INFO(test::name_of(spec));
    io::AdaptedModel adapted = io::adaptable(base_model(*backend), std::nullopt, {});
    Graph& graph = *adapted.model.graph;
    adapted.bank->attach("night", spec, {.exclude = {"head"}}, RandomKey(1));
    disturb(graph, *adapted.bank, "night", 40);
    Weight& head = *graph.nodes().back().module->weight_site()->weight;
    head.stored.value = test::make_input(*backend, {{4, 8}}, 77);
    head.stored.changed();
    const auto expected = outputs(graph);
    io::write_adapter(folder / "a.safetensors", io::adapter_of(graph, *adapted.bank, "night", {"head"}));

    const io::AdapterFile file = io::read_adapter(folder / "a.safetensors");
    CHECK(file.layers.front().spec.attributes() == spec.attributes());
    io::AdaptedModel again = io::adapted_model(base_model(*backend), file, "x");
    CHECK(file.base == io::fingerprint(*again.model.graph, file.layers));
    CHECK(difference(expected, outputs(*again.model.graph)) == 0);
  }
}

TEST_CASE("an adapter for another network is refused, and the network stays", "[adapters][io]") {
  const auto backend = make_backend({"reference", 1});
  io::AdaptedModel adapted = io::adaptable(base_model(*backend), std::nullopt, {});
  adapted.bank->attach("a", test::all_adapters()[0], {}, RandomKey(1));
  const io::AdapterFile good = io::adapter_of(*adapted.model.graph, *adapted.bank, "a", {"head"});
  io::AdaptedModel fresh = io::adaptable(base_model(*backend), std::nullopt, {});
  const auto before = outputs(*fresh.model.graph);
  const auto refused = [&](auto&& change, const char* why) {
    io::AdapterFile file = good;
    change(file);
    CHECK_THROWS_WITH(io::put_adapter(file, fresh, "a"), Catch::Contains(why));
    CHECK(fresh.bank->names().empty());
    CHECK(difference(before, outputs(*fresh.model.graph)) == 0);
  };
  refused([](io::AdapterFile& file) { file.layers[0].layer = "stem.other"; }, "'stem.other'");
  refused([](io::AdapterFile& file) { file.tensors.tensors.pop_back(); }, "is missing");
  refused(
      [](io::AdapterFile& file) {
        file.tensors.tensors[0].second = Tensor::of<float>({2}, {1, 2});
      },
      "has shape (2)");
  refused(
      [](io::AdapterFile& file) {
        file.tensors.tensors.emplace_back("stem.conv.more", file.tensors.tensors[0].second);
      },
      "belongs to no layer");
  refused([](io::AdapterFile& file) { file.saved.tensors.emplace_back("tail.weight", file.saved.tensors[0].second); },
          "'tail.weight' belongs to no layer");
  refused([](io::AdapterFile& file) { file.saved.tensors[0].second.data<float>()[0] = NAN; }, "nan");
}

TEST_CASE("hostile adapter files are refused with the place", "[adapters][io]") {
  const test::TemporaryFolder folder;
  const auto refused = [&](std::map<std::string, std::string> metadata, const char* why) {
    io::write_safetensors(folder / "bad.safetensors", {{}, std::move(metadata)});
    CHECK_THROWS_WITH(io::read_adapter(folder / "bad.safetensors"),
                      Catch::Contains("bad.safetensors") && Catch::Contains(why));
  };
  refused({}, "no 'gsnet.adapter'");
  refused({{"gsnet.adapter", "9"}}, "format '9'");
  refused({{"gsnet.adapter", "1"}}, "no 'gsnet.adapter.config'");
  const auto config = [](const char* text) {
    return std::map<std::string, std::string>{{"gsnet.adapter", "1"}, {"gsnet.adapter.config", text}};
  };
  refused(config("{"), "gsnet.adapter.config");
  refused(config("[]"), "must be an object");
  refused(config(R"({"adapters":[{"settings":{"kind":"magic"},"layers":["a"]}],"base":"","provenance":{}})"), "magic");
  refused(config(R"({"adapters":[{"settings":{"kind":"lora","rank":0},"layers":["a"]}],"base":"","provenance":{}})"),
          "rank");
  refused(config(R"({"adapters":[{"settings":{"kind":"lora","block":4},"layers":["a"]}],"base":"","provenance":{}})"),
          "block");
  refused(config(R"({"adapters":[{"settings":{"kind":"oft"},"layers":["a","a"]}],"base":"","provenance":{}})"),
          "comes twice");
  refused(config(R"({"adapters":[],"provenance":{}})"), "'base'");
}

TEST_CASE("a head for other classes goes along in the adapter's file", "[adapters][io]") {
  const test::TemporaryFolder folder;
  const auto backend = make_backend({"cpu", 1});
  Model base = base_model(*backend);
  ModelInfo wider = base.info;
  wider.description.nodes.back().attributes.set("features", int64_t{7});
  CHECK_THROWS_WITH(io::adaptable(base_model(*backend), wider, {}), Catch::Contains("head"));
  io::AdaptedModel adapted = io::adaptable(std::move(base), wider, {}, {"head"}, RandomKey(9));
  adapted.bank->attach("a", test::all_adapters()[0], {.exclude = {"head"}}, RandomKey(1));
  disturb(*adapted.model.graph, *adapted.bank, "a", 40);
  io::AdapterFile file = io::adapter_of(*adapted.model.graph, *adapted.bank, "a", {"head"});
  file.network = wider;
  io::write_adapter(folder / "a.safetensors", file);
  io::AdaptedModel again = io::adapted_model(base_model(*backend), io::read_adapter(folder / "a.safetensors"), "a");
  CHECK(again.model.graph->output() == Shape{7});
  CHECK(difference(outputs(*adapted.model.graph), outputs(*again.model.graph)) == 0);
}

}  // namespace gsnet
