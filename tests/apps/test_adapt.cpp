// gsnet adapt and gsnet merge as a user runs them, on the embedded pictures.
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/data_source.h"
#include "io/adapter_file.h"
#include "io/model_file.h"
#include "io/temporary_folder.h"
#include "layers/architectures.h"

namespace gsnet::apps {
namespace {

using Arguments = std::vector<std::string>;

std::vector<std::string> glyph_names() { return open_named("glyphs", data::Split::train, 0, 100)->class_names(); }

/// A small residual network for the glyphs' ten classes.
std::string make_base(const test::TemporaryFolder& folder, const std::string& architecture = "resnet20",
                      const Attributes& settings = {}) {
  const auto backend = make_backend({"cpu", 1});
  Model model;
  model.info.description = make_architecture(architecture, settings, {3, 32, 32}, 10);
  model.info.mean.assign(3, 0.5);
  model.info.stddev.assign(3, 0.25);
  model.info.class_names = glyph_names();
  model.graph = std::make_unique<Graph>(model.info.description, *backend, RandomKey(1));
  const std::string path = folder / "base.safetensors";
  io::save_model(path, model);
  return path;
}

Arguments adapt(const std::string& base, const std::string& out, const Arguments& more) {
  Arguments all = {"adapt", base, "--data", "glyphs", "--out", out, "--quiet", "--threads", "2"};
  for (const char* setting : {"data.glyphs=200", "data.validation=40", "run.epochs=2", "run.batch=16",
                              "optimiser.kind=adamw", "optimiser.rate=0.002"}) {
    all.insert(all.end(), {"--set", setting});
  }
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

/// Logits of a model for fixed numbers.
std::vector<float> logits(const std::string& path) {
  const auto backend = make_backend({"cpu", 1});
  const Model model = io::load_model(path, *backend);
  Tensor x = Tensor::empty({2, 3, 32, 32}, DType::f32, Layout::channels_last);
  Random random(RandomKey(5));
  for (float& value : x.host<float>()) value = static_cast<float>(random.normal());
  Tape tape(*backend, {});
  const Tensor y = backend->download(model.graph->forward(tape, tape.input(backend->upload(x))).value);
  return {y.host<float>().begin(), y.host<float>().end()};
}

}  // namespace

TEST_CASE("an adapter is trained, the same from the same seed, kept and merged", "[apps][adapt]") {
  const test::TemporaryFolder folder;
  const std::string base = make_base(folder), whole = folder / "whole", again = folder / "again";
  const Arguments gsoft = {"--adapter", "gsoft"};
  REQUIRE(run_command_line(adapt(base, whole, gsoft)) == 0);
  const auto result = nlohmann::json::parse(io::read_text(std::filesystem::path(whole) / "result.json"));
  CHECK(result["method"] == "gsoft");
  CHECK(result["trained"].get<int64_t>() > 0);
  CHECK(result["accuracy"].contains("test"));

  REQUIRE(run_command_line(adapt(base, again, gsoft)) == 0);
  CHECK(test::bytes_of(whole + "/adapter.safetensors") == test::bytes_of(again + "/adapter.safetensors"));
  CHECK(run_command_line(adapt(base, again, gsoft)) == 1);  // there is a run already
  Arguments resumed = adapt(base, again, gsoft);
  resumed.push_back("--resume");
  CHECK(run_command_line(resumed) == 0);

  const std::string merged = folder / "merged.safetensors", none = folder / "none.safetensors";
  REQUIRE(run_command_line({"merge", base, whole + "/adapter.safetensors", "--out", merged}) == 0);
  REQUIRE(run_command_line({"merge", base, whole + "/adapter.safetensors", "--out", none, "--strength", "0"}) == 0);
  CHECK(logits(none) == logits(base));
  CHECK(logits(merged) != logits(base));
  CHECK(std::filesystem::file_size(whole + "/adapter.safetensors") < std::filesystem::file_size(base) / 10);
}

TEST_CASE("a new head and batch norms go along with an adapter", "[apps][adapt]") {
  const test::TemporaryFolder folder;
  const std::string base = make_base(folder);
  const auto adapted = [&](const std::string& name, const Arguments& more) {
    INFO(name);
    const std::string out = folder / name;
    REQUIRE(run_command_line(adapt(base, out, more)) == 0);
    CHECK(run_command_line({"merge", base, out + "/adapter.safetensors", "--out", folder / (name + ".merged")}) == 0);
    return io::read_adapter(out + "/adapter.safetensors");
  };
  const io::AdapterFile replaced =
      adapted("replaced", {"--adapter", "gsoft", "--set", "adapter.head=replace", "--set", "adapter.head_epochs=1"});
  CHECK(replaced.network.has_value());
  CHECK(replaced.saved.find("linear.weight") != nullptr);
  const io::AdapterFile reestimated = adapted("norms", {"--adapter", "oft", "--set", "adapter.batch_norm=reestimate"});
  CHECK(reestimated.saved.find("bn1.running_mean") != nullptr);
  CHECK(!reestimated.network.has_value());
  const io::AdapterFile batch = adapted("batch", {"--adapter", "boft", "--set", "adapter.batch_norm=batch"});
  CHECK(batch.saved.find("layer1.0.bn1.weight") != nullptr);
  const io::AdapterFile head = adapted("head", {"--set", "adapter.kind=head", "--set", "run.segments=3"});
  CHECK(head.layers.empty());
  CHECK(head.saved.tensors.size() == 2);
}

TEST_CASE("adapt says what is wrong in one line", "[apps][adapt]") {
  const test::TemporaryFolder folder;
  const std::string base = make_base(folder);
  CHECK(run_command_line({"adapt", base}) == 2);
  CHECK(run_command_line({"adapt", base, "--adapter", "magic"}) == 1);
  CHECK(run_command_line({"adapt", base, "--adapter", "gsoft", "--set", "adapter.rank=3"}) == 1);
  CHECK(run_command_line(
            {"adapt", base, "--adapter", "gsoft", "--set", "adapter.layers=nothing", "--data", "glyphs"}) == 1);
  CHECK(run_command_line({"adapt", base, "--adapter", "gsoft", "--set", "adapter.save=nothing", "--data", "glyphs"}) ==
        1);
  CHECK(run_command_line({"adapt", folder / "missing", "--adapter", "gsoft"}) == 1);
  CHECK(run_command_line({"merge", base, base, "--out", folder / "x"}) == 1);
  CHECK(run_command_line({"merge", base, base}) == 2);
  CHECK(!std::filesystem::exists(folder / "x"));
  CHECK(!std::filesystem::exists("runs/adapt"));
}

TEST_CASE("an orthogonal network takes rotations and stays as Lipschitz as it was", "[apps][adapt]") {
  const test::TemporaryFolder folder;
  const std::string base = make_base(folder, "lipconvnet", {{"width", int64_t{8}}, {"groups", int64_t{2}}});
  REQUIRE(run_command_line(adapt(base, folder / "run", {"--adapter", "gsoft"})) == 0);
  const std::string merged = folder / "merged";
  REQUIRE(run_command_line({"merge", base, folder / "run/adapter.safetensors", "--out", merged}) == 0);
  const auto backend = make_backend({"cpu", 1});
  const Model before = io::load_model(base, *backend), after = io::load_model(merged, *backend);
  CHECK(after.graph->nodes().size() > before.graph->nodes().size());
  CHECK(before.graph->bounds().back().from_input.value() == after.graph->bounds().back().from_input.value());
  CHECK(run_command_line(adapt(base, folder / "lora", {"--adapter", "lora", "--set", "adapter.layers=level1.conv0"})) ==
        1);
}

}  // namespace gsnet::apps
