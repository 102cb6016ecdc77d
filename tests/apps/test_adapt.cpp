// gsnet adapt and gsnet merge as a user runs them, on the embedded pictures.
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/data_source.h"
#include "io/adapter_file.h"
#include "io/file.h"
#include "io/model_file.h"
#include "io/temporary_folder.h"
#include "layers/architectures.h"
#include "tests/data/scratch.h"

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
  const double was = before.graph->bounds().back().from_input.value();
  const double is = after.graph->bounds().back().from_input.value();
  CHECK(is >= was);  // a rotation as executed is not quite one
  CHECK(is <= was * (1 + 1e-5));
  CHECK(run_command_line({"merge", base, folder / "run/adapter.safetensors", "--out", folder / "half", "--strength",
                          "0.5"}) == 1);  // rotations are whole layers
  CHECK(run_command_line(adapt(base, folder / "lora", {"--adapter", "lora", "--set", "adapter.layers=level1.conv0"})) ==
        1);
}

TEST_CASE("an adaptation goes on with its own base only, and is written over by no other", "[apps][adapt]") {
  const test::TemporaryFolder folder, other;
  const std::string base = make_base(folder), out = folder / "run";
  const std::string another = make_base(other, "resnet20");
  {
    const auto backend = make_backend({"cpu", 1});
    Model model = io::load_model(another, *backend);
    Tensor& first = *state_of(*model.graph)[0].tensor;
    backend->scale(0.5, first, first);
    state_changed(*model.graph);
    io::save_model(another, model);
  }
  REQUIRE(run_command_line(adapt(base, out, {"--adapter", "lora"})) == 0);
  CHECK(run_command_line(adapt(another, out, {"--adapter", "lora", "--resume"})) == 1);
  CHECK(run_command_line(adapt(base, out, {"--adapter", "lora", "--resume"})) == 0);
  const std::string kept = test::bytes_of(out + "/adapter.safetensors");
  std::filesystem::remove(out + "/checkpoint.safetensors");
  CHECK(run_command_line(adapt(base, out, {"--adapter", "lora"})) == 1);
  CHECK(run_command_line(adapt(base, out, {"--adapter", "lora", "--resume"})) == 1);
  CHECK(test::bytes_of(out + "/adapter.safetensors") == kept);
  const std::string fresh = folder / "fresh";
  CHECK(run_command_line(adapt(base, fresh, {"--adapter", "lora", "--merged", fresh + "/adapter.safetensors"})) == 2);
  CHECK(run_command_line(adapt(base, fresh, {"--adapter", "lora", "--merged", fresh + "/m.safetensors"})) == 0);
  CHECK(std::filesystem::exists(fresh + "/m.safetensors"));
}

TEST_CASE("adapt refuses what it would not heed", "[apps][adapt]") {
  const test::TemporaryFolder folder;
  const std::string base = make_base(folder);
  const auto refused = [&](const std::string& setting) {
    INFO(setting);
    CHECK(run_command_line(adapt(base, folder / "bad", {"--adapter", "lora", "--set", setting})) == 1);
    CHECK(!std::filesystem::exists(folder / "bad/log.jsonl"));
  };
  refused("model.width=3");
  refused("data.corruption=\"rain:3\"");
  refused("data.corruption=\"jpeg:3+jpeg:2\"");
  CHECK(run_command_line(adapt(base, folder / "mean",
                               {"--adapter", "lora", "--set", "data.mean=[9,9,9]", "--set", "data.stddev=[1,1,1]"})) ==
        1);
}

#if GSNET_WITH_OPENCV
TEST_CASE("an adaptation is judged by test pictures, of the classes it knows, or by none", "[apps][adapt]") {
  const test::TemporaryFolder folder;
  const std::string base = make_base(folder);
  const auto fill = [&](const std::string& root, int seed) {
    for (const char* name : {"a", "b", "c"}) {
      for (int i = 0; i < 8; ++i) {
        const auto shade = static_cast<uint8_t>(20 * i + 7 * name[0] + seed);
        std::filesystem::create_directories(folder / (root + "/" + name));
        io::write_atomically(folder / (root + "/" + name + "/" + std::to_string(i) + ".ppm"),
                             data::ppm_of(32, 32, shade, static_cast<uint8_t>(name[0]), 9));
      }
    }
  };
  fill("plain", 0);
  fill("parts/train", 0);
  fill("parts/test", 3);
  fill("half/train", 0);
  io::write_atomically(folder / "two.txt", "a\nc\n");
  const auto judged = [&](const std::string& data, const Arguments& more) {
    INFO(data);
    const std::string out = folder / ("run-" + data);
    Arguments all = {"adapt",
                     base,
                     "--adapter",
                     "lora",
                     "--data",
                     folder / data,
                     "--out",
                     out,
                     "--quiet",
                     "--threads",
                     "1",
                     "--set",
                     "data.validation=3",
                     "--set",
                     "run.epochs=1",
                     "--set",
                     "adapter.head=replace"};
    all.insert(all.end(), more.begin(), more.end());
    REQUIRE(run_command_line(all) == 0);
    return nlohmann::json::parse(io::read_text(out + "/result.json"))["accuracy"];
  };
  CHECK(judged("plain", {}).empty());  // the same pictures twice
  CHECK(judged("half", {}).empty());
  CHECK(judged("parts", {"--set", "data.classes=\"" + (folder / "two.txt").string() + "\""}).contains("test"));
}
#endif

}  // namespace gsnet::apps
