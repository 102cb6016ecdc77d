// gsnet adapter and gsnet merge: adapters out to PEFT's folders and back in.
#include <algorithm>
#include <catch2/catch.hpp>

#include "adapters/adapter_cases.h"
#include "apps/command.h"
#include "io/adapter_file.h"
#include "io/model_file.h"
#include "io/temporary_folder.h"

namespace gsnet::apps {
namespace {

Description network() {
  return {{4, 6, 6},
          {{"conv", "conv2d", {}, {{"channels", int64_t{8}}, {"kernel", int64_t{3}}}},
           {"pool", "pool", {}, {{"global", true}}},
           {"flatten", "flatten", {}, {}},
           {"fc", "linear", {}, {{"features", int64_t{3}}}}}};
}

/// base, and an adapter of random numbers for it.
void make_files(const test::TemporaryFolder& folder, const AdapterSpec& spec) {
  const auto backend = make_backend({"cpu", 1});
  Model model;
  model.info = {.description = network(), .mean = {0, 0, 0, 0}, .stddev = {1, 1, 1, 1}};
  model.graph = std::make_unique<Graph>(network(), *backend, RandomKey(1));
  io::save_model(folder / "base", model);
  AdapterBank bank(*model.graph);
  bank.attach("a", spec, {}, RandomKey(2));
  test::disturb(*model.graph, bank, "a", 3);
  io::write_adapter(folder / "adapter", io::adapter_of(*model.graph, bank, "a", {}));
}

int run(const test::TemporaryFolder& folder, std::vector<std::string> arguments) {
  for (std::string& argument : arguments) {
    if (argument.starts_with("@")) argument = (folder / argument.substr(1)).string();
  }
  return run_command_line(arguments);
}

double largest_difference(const io::TensorFile& a, const io::TensorFile& b) {
  double most = 0;
  for (const auto& [name, tensor] : a.tensors) {
    const Tensor &x = tensor, &y = b.at(name);
    for (int64_t i = 0; i < x.numel(); ++i) {
      most = std::max(most, static_cast<double>(std::abs(x.data<float>()[i] - y.data<float>()[i])));
    }
  }
  return most;
}

}  // namespace

TEST_CASE("adapters go to PEFT and come back, as they are or as others", "[apps][peft]") {
  const auto check = [](const AdapterSpec& spec, const std::string& as, double tolerance) {
    INFO(test::name_of(spec) << " " << as);
    const test::TemporaryFolder folder;
    make_files(folder, spec);
    std::vector<std::string> arguments = {"adapter", "export", "@base", "@adapter", "--peft", "@peft"};
    if (!as.empty()) arguments.insert(arguments.end(), {"--as", as});
    REQUIRE(run(folder, arguments) == 0);
    REQUIRE(run(folder, {"adapter", "import", "@base", "@peft", "--out", "@back"}) == 0);
    CHECK(run(folder, {"adapter", "show", "@back"}) == 0);
    for (const char* adapter : {"adapter", "peft", "back"}) {
      REQUIRE(run(folder, {"merge", "@base", std::string("@") + adapter, "--out", std::string("@of_") + adapter}) == 0);
    }
    const auto read = [&](const char* name) { return io::read_safetensors(folder / name); };
    CHECK(largest_difference(read("of_adapter"), read("base")) > 1e-2);
    CHECK(largest_difference(read("of_adapter"), read("of_peft")) < tolerance);
    CHECK(largest_difference(read("of_peft"), read("of_back")) == 0);
  };
  AdapterSpec lora, gsoft;
  lora.kind = AdapterKind::lora;
  lora.rank = 2;
  gsoft.block = 2;
  check(lora, "", 1e-6);
  check(gsoft, "oft", 1e-5);
  check(gsoft, "lora:8", 1e-5);
}

TEST_CASE("gsnet adapter says what is wrong", "[apps][peft]") {
  const test::TemporaryFolder folder;
  make_files(folder, {});
  CHECK(run(folder, {"adapter"}) == 2);
  CHECK(run(folder, {"adapter", "sing"}) == 2);
  CHECK(run(folder, {"adapter", "--help"}) == 0);
  CHECK(run(folder, {"adapter", "export", "@base", "@adapter"}) == 2);
  CHECK(run(folder, {"adapter", "export", "@base", "@adapter", "--peft", "@p", "--as", "lora:0"}) == 2);
  CHECK(run(folder, {"adapter", "export", "@base", "@adapter", "--peft", "@p", "--as", "loha"}) == 2);
  CHECK(run(folder, {"adapter", "export", "@base", "@p", "--peft", "@p", "--as", "lora:1"}) == 2);
  CHECK(run(folder, {"adapter", "import", "@base", "@p"}) == 2);
  CHECK(run(folder, {"adapter", "export", "@base", "@adapter", "--peft", "@p"}) == 1);  // PEFT has no GSOFT
  CHECK(!std::filesystem::exists(folder / "p"));
  CHECK(run(folder, {"adapter", "import", "@base", "@none", "--out", "@x"}) == 1);
  CHECK(run(folder, {"adapter", "show", "@base"}) == 1);
}

}  // namespace gsnet::apps
