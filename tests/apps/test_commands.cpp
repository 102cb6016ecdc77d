// The command as a user runs it: a small run from end to end, resuming, and one clear error for everything wrong.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "apps/command.h"
#include "apps/options.h"
#include "apps/pace.h"
#include "apps/recipe.h"
#include "io/safetensors.h"
#include "tests/apps/interrupter.h"

namespace gsnet::apps {
namespace fs = std::filesystem;
namespace {

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("gsnet-commands-" + std::to_string(::getpid()))) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  std::string at(const std::string& name) const { return (path_ / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return at(name);
  }

 private:
  fs::path path_;
};

constexpr const char* kTiny = R"(
[data]
glyphs = 200
validation = 40
crop_padding = 2
flip = true
[model]
width = 4
groups = 2
train_degree = 3
[loss]
offset_radius = "36/255"
[optimiser]
rate = 0.2
[run]
epochs = 2
batch = 16
)";

std::string bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Runs a command line with stderr caught.
int run(const std::vector<std::string>& arguments, std::string* message = nullptr) {
  std::fflush(stderr);
  const std::string caught = fs::temp_directory_path() / ("gsnet-stderr-" + std::to_string(::getpid()));
  const int kept = ::dup(2);
  REQUIRE(std::freopen(caught.c_str(), "w", stderr) != nullptr);
  const int code = run_command_line(arguments);
  std::fflush(stderr);
  ::dup2(kept, 2);
  ::close(kept);
  if (message != nullptr) *message = bytes(caught);
  fs::remove(caught);
  return code;
}

void check_same_tensors(const std::string& p, const std::string& q) {
  const auto a = io::read_safetensors(p).tensors, b = io::read_safetensors(q).tensors;
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    INFO(a[i].first);
    REQUIRE(a[i].second.bytes() == b[i].second.bytes());
    CHECK(std::memcmp(a[i].second.raw(), b[i].second.raw(), a[i].second.bytes()) == 0);
  }
}

}  // namespace

TEST_CASE("train, certify, inspect and predict fit together", "[apps]") {
  const Folder folder;
  const std::string recipe = folder.write("tiny.toml", kTiny);
  REQUIRE(run({"train", recipe, "--out", folder.at("run"), "--quiet"}) == 0);
  const std::string model = folder.at("run/model.safetensors");
  REQUIRE(run({"certify", model, "--data", "glyphs", "--limit", "50", "--json", folder.at("c.json"), "--report",
               folder.at("report")}) == 0);
  const std::string json = bytes(folder.at("c.json"));
  for (const char* key : {"\"n\"", "\"clean_accuracy\"", "\"radii\"", "\"eps\"", "\"certified_accuracy\"",
                          "\"mean_certified_radius\"", "\"lipschitz_bound\""}) {
    INFO(key);
    CHECK(json.find(key) != std::string::npos);
  }
  CHECK(fs::exists(folder.at("report/report.html")));
  CHECK(run({"inspect", model}) == 0);
  io::write_safetensors(
      folder.at("x.safetensors"),
      {{{"input", Tensor::of<float>({2, 3, 32, 32}, std::span<const float>(std::vector<float>(6144, 0.1F)))}}, {}});
  REQUIRE(run({"predict", model, "--input", folder.at("x.safetensors"), "--output", folder.at("y.safetensors")}) == 0);
  CHECK(io::read_safetensors(folder.at("y.safetensors")).at("logits").shape() == Shape{2, 10});
  CHECK(run({"train", recipe, "--out", folder.at("run")}) == 1);  // the folder holds a run
}

TEST_CASE("the same seed gives the same bits, and resumed is uninterrupted", "[apps]") {
  const Folder folder;
  const std::string recipe = folder.write("tiny.toml", kTiny);
  const auto train = [&](const std::string& out, std::vector<std::string> more) {
    std::vector<std::string> arguments = {"train", recipe, "--out", folder.at(out), "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  };
  REQUIRE(train("a", {}) == 0);
  REQUIRE(train("b", {}) == 0);
  const auto equal = [&](const std::string& p, const std::string& q) {
    check_same_tensors(folder.at(p) + "/checkpoint.safetensors", folder.at(q) + "/checkpoint.safetensors");
  };
  equal("a", "b");
  // Ctrl-C again and again, wherever it falls, until a run gets through.
  int code = kInterrupted, interruptions = 0;
  for (int attempt = 0; attempt < 200 && code == kInterrupted; ++attempt) {
    const Interrupter soon(attempt < 5 ? 60 + 25 * attempt : 100000);
    code = train("c", {"--resume"});
    interruptions += code == kInterrupted ? 1 : 0;
  }
  REQUIRE(code == 0);
  CHECK(interruptions > 0);
  equal("a", "c");
  CHECK(bytes(folder.at("a/model.safetensors")) == bytes(folder.at("c/model.safetensors")));
}

TEST_CASE("as many epochs as fit into the time, and no more than were asked for", "[apps]") {
  const Pace pace{.batch = 1, .validation = 2, .measuring = 4};
  CHECK(epochs_within(1, pace, 10, 100) == 4);  // 54 seconds less 4, 12 an epoch
  CHECK(epochs_within(1, pace, 10, 3) == 3);
  CHECK(epochs_within(1e9, pace, 10, 1'000'000) == 1'000'000);
  CHECK_THROWS_WITH(epochs_within(0.2, pace, 10, 3), Catch::Contains("one epoch takes 0:12"));
}

TEST_CASE("a run that is cut to minutes is the run of the recipe it writes down", "[apps]") {
  const Folder folder;
  const std::string recipe = folder.write("tiny.toml", kTiny);
  const auto train = [&](const std::string& of, const std::string& out, std::vector<std::string> more) {
    std::vector<std::string> arguments = {"train", of, "--out", folder.at(out), "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  };
  const std::vector<std::string> cut = {"--set", "run.minutes=5", "--set", "run.epochs=3"};
  REQUIRE(train(recipe, "cut", cut) == 0);
  REQUIRE(train(folder.at("cut/recipe.toml"), "again", {}) == 0);
  CHECK(bytes(folder.at("cut/recipe.toml")) == bytes(folder.at("again/recipe.toml")));
  check_same_tensors(folder.at("cut/checkpoint.safetensors"), folder.at("again/checkpoint.safetensors"));
  auto go_on = cut;
  go_on.emplace_back("--resume");
  CHECK(train(recipe, "cut", go_on) == 0);  // with as many epochs as it had, all done
  std::string message;
  CHECK(run({"train", recipe, "--out", folder.at("none"), "--set", "run.minutes=1e-6"}, &message) == 1);
  CHECK(message.find("one epoch takes") != std::string::npos);
}

TEST_CASE("a run whose epochs are one batch is interrupted too", "[apps]") {
  const Folder folder;
  const std::string recipe = folder.write("tiny.toml", kTiny);
  const Interrupter soon(30);
  CHECK(run({"train", recipe, "--out", folder.at("run"), "--quiet", "--set", "run.batch=160", "--set",
             "run.epochs=100000"}) == kInterrupted);
  CHECK(fs::exists(folder.at("run/checkpoint.safetensors")));
}

TEST_CASE("wrong use exits 2 with one line", "[apps]") {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"fly"},
      {"train"},
      {"train", "a.toml", "--colour", "red"},
      {"certify", "m"},
      {"certify", "m", "--data", "glyphs", "--radii", "0,1"},
      {"certify", "m", "--data", "glyphs", "--radii", "x"},
      {"certify", "m", "--data", "glyphs", "--split", "half"},
      {"predict", "m"},
      {"predict", "m", "--pictures", "p", "--input", "x"},
      {"predict", "m", "--input", "x"},
      {"export", "m"},
      {"export", "m", "--onnx", "f", "--opset", "12"},
      {"import", "m.onnx", "--out", "o", "--architecture", "resnet20"},
      {"import", "m.onnx", "--out", "o", "--input", "3,112"},
      {"import", "m"},
      {"import", "m", "--out", "o", "--architecture", "resnet20"},
      {"import", "m", "--out", "o", "--architecture", "resnet20", "--groups", "4", "--mean", "0", "--stddev", "1"},
      {"import", "m", "--out", "o", "--mean", "0.5"},
      {"import", "m", "--out", "o", "--size", "160"},
      {"import", "m", "--out", "o", "--architecture", "resnet18", "--size", "1.5", "--mean", "0", "--stddev", "1"},
      {"import", "m", "--out", "o", "--architecture", "resnet18", "--size", "9,9,9", "--mean", "0", "--stddev", "1"},
      {"data"},
      {"data", "fetch", "nothing", "--to", "/tmp"},
      {"data", "list", "--colour", "red"},
      {"certify", "m", "--data", "glyphs", "--radii", "1e300/1e-300"},
      {"certify", "m", "--data", "glyphs", "--beside", "a.json,b.json", "--json", "b.json"},
      {"predict", "m", "--input", "x", "--output", "-"},
      {"merge", "m", "a", "--out", "-"},
      {"bench", "--network", "resnet20"},
      {"bench", "--batch", "0"},
  };
  for (const auto& arguments : wrong) {
    std::string message;
    INFO((arguments.empty() ? std::string("nothing") : arguments[0]));
    CHECK(run(arguments, &message) == 2);
    CHECK(std::count(message.begin(), message.end(), '\n') == 1);
  }
}

TEST_CASE("a bad recipe is refused with file, line and key", "[apps]") {
  const Folder folder;
  const auto refused = [&](const std::string& text, const std::string& expected) {
    const std::string file = folder.write("bad.toml", text);
    INFO(text);
    CHECK_THROWS_WITH(read_recipe(file, {}), Catch::Contains("bad.toml") && Catch::Contains(expected));
  };
  refused("[run]\nepoch = 3\n", "bad.toml:2: unknown key 'run.epoch'");
  refused("[run]\nepochs = 0\n", "'run.epochs' must be an integer from 1");
  refused("[run]\nepochs = 2.5\n", "run.epochs");
  refused("[run]\nradius = \"36/x\"\n", "run.radius");
  refused("[optimiser]\nkind = \"lion\"\n", "sgd, adamw");
  refused("[data]\nmean = [0.5]\n", "as many entries");
  refused("[data]\nstddev = [0]\nmean = [0]\n", "positive");
  refused("[loss]\noffset = 1\noffset_radius = 1\n", "not both");
  refused("colour = 1\n", "colour");
  refused("[run\n", "not TOML");
  CHECK_THROWS_WITH(read_recipe(folder.at("none.toml"), {}), Catch::Contains("none.toml"));
  const std::string good = folder.write("good.toml", kTiny);
  CHECK_THROWS_WITH(read_recipe(good, {"epochs"}), Catch::Contains("key=value"));
  const Recipe recipe = read_recipe(good, {"run.epochs=7", "model.variant=permuted", "run.radius=0.5"});
  CHECK(recipe.epochs == 7);
  CHECK(recipe.model.text("variant") == "permuted");
  CHECK(recipe.radius == 0.5);
  const std::string written = folder.write("again.toml", recipe_text(recipe));
  CHECK(recipe_text(read_recipe(written, {})) == recipe_text(recipe));
}

TEST_CASE("files that are no models, folders that cannot be written, data that is not there", "[apps]") {
  const Folder folder;
  std::string message;
  const std::string junk = folder.write("junk.safetensors", "not a model");
  CHECK(run({"inspect", junk}, &message) == 1);
  CHECK(message.find("junk.safetensors") != std::string::npos);
  const std::string recipe = folder.write("tiny.toml", kTiny);
  CHECK(run({"train", recipe, "--data", folder.at("nowhere"), "--out", folder.at("o")}, &message) == 1);
  CHECK(message.find("nowhere") != std::string::npos);
  CHECK(run({"train", recipe, "--out", junk + "/run"}, &message) == 1);
  CHECK(message.find("junk.safetensors/run") != std::string::npos);
  CHECK(run({"train", recipe, "--backend", "abacus", "--out", folder.at("o2")}, &message) == 2);
  CHECK(message.find("abacus") != std::string::npos);
  CHECK(run({"train", recipe, "--set", "model.depth=7", "--out", folder.at("o3")}, &message) == 1);
  CHECK(message.find("depth") != std::string::npos);
  CHECK(run({"train", recipe, "--set", "model.depht=5", "--out", folder.at("o3")}, &message) == 1);
  CHECK(message.find("tiny.toml: [model]: unknown setting 'depht'") != std::string::npos);
  CHECK_FALSE(fs::exists(folder.at("o3")));  // what cannot start leaves nothing behind
}

TEST_CASE("numbers and fractions", "[apps]") {
  CHECK(parse_number("36/255") == Approx(36.0 / 255));
  CHECK(parse_radii("1,36/255,1") == std::vector<double>{36.0 / 255, 1});
  CHECK_THROWS_AS(parse_number("1/0"), UsageError);
  CHECK_THROWS_AS(parse_number("nan"), UsageError);
  CHECK_THROWS_AS(parse_radii("1,,2"), UsageError);
}

TEST_CASE("settings of the command line are TOML: dotted keys, keys in quotes, lists, bare words", "[apps]") {
  const Recipe recipe = read_recipe({}, {"run.epochs=3", "data.path=some/folder", "adapter.kind=gsoft",
                                         "adapter.layers=[\"a\", \"b\"]", "adapter.overrides.\"layer3.*\".block=4",
                                         "adapter.overrides.\"layer3.*\".factors=3", "loss.offset_radius=36/255"});
  CHECK(recipe.epochs == 3);
  CHECK(recipe.data == "some/folder");
  CHECK(recipe.offset_radius == Approx(36.0 / 255));
  REQUIRE(recipe.adapt);
  CHECK(recipe.adapt->targets.layers == std::vector<std::string>{"a", "b"});
  REQUIRE(recipe.adapt->overrides.size() == 1);
  CHECK(recipe.adapt->overrides[0].first == "layer3.*");
  CHECK(recipe.adapt->overrides[0].second.integer("block") == 4);
  CHECK(recipe.adapt->overrides[0].second.integer("factors") == 3);
  CHECK_THROWS_AS(read_recipe({}, {"run..epochs=3"}), UsageError);
  CHECK_THROWS_WITH(read_recipe({}, {"run=3", "run.epochs=3"}), Catch::Contains("'run' is no table"));
}

}  // namespace gsnet::apps
