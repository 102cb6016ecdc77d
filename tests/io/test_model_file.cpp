#include <catch2/catch.hpp>
#include <cstring>
#include <limits>

#include "backend/reference/make.h"
#include "core/error.h"
#include "io/model_file.h"
#include "layers/lipconvnet.h"
#include "tests/io/temporary_folder.h"

namespace gsnet::io {
namespace {

using Catch::Matchers::Contains;
using test::TemporaryFolder;

Model small_model(Backend& backend, const char* scale = "gram") {
  Model model;
  const Attributes settings = {{"width", int64_t{4}}, {"groups2", int64_t{1}}, {"scale", std::string(scale)}};
  model.info.description = lipconvnet(settings, {3, 32, 32}, 3);
  model.info.mean = {0.5, 0.25, 0.1};
  model.info.stddev = {0.2, 0.3, 1};
  model.info.class_names = {"a", "b\"", "ü"};
  model.info.provenance = {{"seed", "7"}};
  model.graph = std::make_unique<Graph>(model.info.description, backend, RandomKey(7));
  return model;
}

Tensor logits(Graph& graph) {
  Tape tape(graph.backend(), {});
  Tensor x = Tensor::empty({1, 3, 32, 32}, DType::f64, Layout::channels_last);
  Random random(RandomKey(1));
  for (double& value : x.host<double>()) value = random.normal();
  return graph.forward(tape, tape.input(graph.backend().upload(x))).value;
}

/// One forward pass of training, so that power iterations have happened.
void train_once(Graph& graph) {
  Tape tape(graph.backend(), {.training = true});
  const Tensor x = Tensor::of<double>({1, 3, 32, 32}, std::vector<double>(3072, 0.5), Layout::channels_last);
  graph.forward(tape, tape.input(graph.backend().upload(x)));
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

/// The message with which a model file with these tensors and metadata is refused.
std::string refusal(const TensorFile& file) {
  const TemporaryFolder folder;
  const auto backend = make_reference_backend(1);
  write_safetensors(folder / "m.safetensors", file);
  try {
    load_model(folder / "m.safetensors", *backend);
  } catch (const Error& error) {
    CHECK_THAT(error.what(), Contains("m.safetensors"));
    return error.what();
  }
  FAIL("the file was accepted");
  return {};
}

/// A good file for others to spoil.
TensorFile good_file() {
  const auto backend = make_reference_backend(1);
  const Model model = small_model(*backend);
  TensorFile file;
  file.metadata = model_metadata(model.info);
  store_state(*model.graph, file);
  return file;
}

Tensor& tensor_of(TensorFile& file, const std::string& name) {
  for (auto& [known, tensor] : file.tensors) {
    if (known == name) return tensor;
  }
  throw Error("no tensor " + name);
}

TEST_CASE("model file: saved and loaded, the same logits bit for bit", "[io]") {
  const TemporaryFolder folder;
  const auto backend = make_reference_backend(1);
  for (const char* scale : {"gram", "stretch", "four_forms"}) {
    const Model first = small_model(*backend, scale);
    train_once(*first.graph);
    save_model(folder / "one", first);
    const Model second = load_model(folder / "one", *backend);
    CHECK(second.info.description == first.info.description);
    CHECK(second.info.mean == first.info.mean);
    CHECK(second.info.stddev == first.info.stddev);
    CHECK(second.info.class_names == first.info.class_names);
    CHECK(second.info.provenance == first.info.provenance);
    save_model(folder / "two", second);
    CHECK(test::bytes_of(folder / "one") == test::bytes_of(folder / "two"));
    const Model third = load_model(folder / "two", *backend);
    CHECK(same_bits(logits(*second.graph), logits(*third.graph)));
    const Tensor before = logits(*first.graph), after = logits(*second.graph);
    for (size_t i = 0; i < 3; ++i) CHECK(after.host<double>()[i] == Approx(before.host<double>()[i]).margin(1e-5));
  }
}

TEST_CASE("model file: exact state is the machine's own, under a prefix", "[io]") {
  const auto backend = make_reference_backend(1);
  const Model first = small_model(*backend, "four_forms");
  train_once(*first.graph);
  TensorFile file;
  file.tensors.emplace_back("step", Tensor::of<int64_t>({1}, {3}));
  store_state(*first.graph, file, "model.", true);
  CHECK(file.at("model.level1.conv0.conv1.kernel").dtype() == DType::f64);
  CHECK(file.at("model.level1.conv0.conv1.kernel_steps").host<int64_t>()[0] == 1);
  Graph second(first.info.description, *backend, RandomKey(8));
  const Tensor other = logits(second);
  load_state(second, file, "model.");
  CHECK_FALSE(same_bits(logits(second), other));
  CHECK(same_bits(logits(second), logits(*first.graph)));
}

TEST_CASE("model file: tensors that are missing, superfluous or misshapen are named", "[io]") {
  TensorFile file = good_file();
  const std::string name = file.tensors.front().first;
  file.tensors.erase(file.tensors.begin());
  CHECK_THAT(refusal(file), Contains("'" + name + "' is missing"));
  file = good_file();
  file.tensors.emplace_back("extra", Tensor::of<float>({1}, {1.0F}));
  CHECK_THAT(refusal(file), Contains("'extra'"));
  file = good_file();
  tensor_of(file, "head.bias") = Tensor::of<float>({2}, {1.0F, 2.0F});
  CHECK_THAT(refusal(file), Contains("'head.bias'") && Contains("(2)") && Contains("(3)"));
  file = good_file();
  tensor_of(file, "head.bias") = Tensor::of<int64_t>({3}, {1, 2, 3});
  CHECK_THAT(refusal(file), Contains("'head.bias'") && Contains("i64"));
}

TEST_CASE("model file: numbers that are not finite are refused, and leave the graph alone", "[io]") {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    TensorFile file = good_file();
    tensor_of(file, "head.weight").host<float>()[5] = bad;
    CHECK_THAT(refusal(file), Contains("'head.weight'") && Contains("element 5"));
    const auto backend = make_reference_backend(1);
    const Model model = small_model(*backend);
    const Tensor before = logits(*model.graph);
    tensor_of(file, "level1.conv0.conv1.bias").host<float>()[0] += 1;
    CHECK_THROWS_AS(load_state(*model.graph, file), Error);
    CHECK(same_bits(logits(*model.graph), before));
  }
}

TEST_CASE("model file: what is no model is refused", "[io]") {
  TensorFile file = good_file();
  file.metadata.clear();
  CHECK_THAT(refusal(file), Contains("no gsnet model"));
  const std::pair<const char*, const char*> spoilt[] = {
      {"gsnet.format", "2"},         {"gsnet.description", "{"},       {"gsnet.description", "[]"},
      {"gsnet.mean", "[1,2]"},       {"gsnet.mean", "[1,2,\"\"]"},     {"gsnet.stddev", "[1,2,0]"},
      {"gsnet.stddev", "[1,2,-3]"},  {"gsnet.classes", "[\"a\"]"},     {"gsnet.classes", "{}"},
      {"gsnet.provenance", "[[1]]"}, {"gsnet.provenance", "{\"a\":1}"}};
  for (const auto& [key, text] : spoilt) {
    CAPTURE(key, text);
    file = good_file();
    file.metadata[key] = text;
    CHECK_FALSE(refusal(file).empty());
    file.metadata.erase(key);
    CHECK_THAT(refusal(file), Contains(key));
  }
}

TEST_CASE("model file: a size that no tensor bears out is refused before anything is built", "[io]") {
  TensorFile file = good_file();
  std::string& text = file.metadata["gsnet.description"];
  const std::string small = "\"channels\":8";
  REQUIRE(text.find(small) != std::string::npos);
  text.replace(text.find(small), small.size(), "\"channels\":1000000000");
  CHECK_THAT(refusal(file), Contains("level1.conv0") && Contains("1000000000"));
}

TEST_CASE("model file: a model that does not know itself is not saved", "[io]") {
  const TemporaryFolder folder;
  const auto backend = make_reference_backend(1);
  Model model = small_model(*backend);
  model.info.stddev = {1, 1};
  CHECK_THROWS_WITH(save_model(folder / "x", model), Contains("deviations"));
  model = small_model(*backend);
  model.info.description.nodes.pop_back();
  CHECK_THROWS_WITH(save_model(folder / "x", model), Contains("description"));
  CHECK(folder.files() == 0);
}

TEST_CASE("description: JSON keeps kinds, order and every bit of a number", "[io]") {
  Description net;
  net.input = {3, 32, 32};
  const Attributes all = {{"z", true},
                          {"integer", int64_t{-9007199254740993}},
                          {"whole", 2.0},
                          {"number", 0.1},
                          {"tiny", 5e-324},
                          {"large", 1e300},
                          {"text", std::string("ä\"\\\n")},
                          {"integers", std::vector<int64_t>{1, 2}},
                          {"numbers", std::vector<double>{1.0, 2.0}},
                          {"texts", std::vector<std::string>{"a", "b"}},
                          {"a", false}};
  net.nodes = {{"first", "one", {}, {}}, {"second", "two", {"input", "first"}, all}};
  const std::string text = to_json(net);
  CHECK(description_from_json(text) == net);
  CHECK_THAT(text, Contains("\"whole\":2.0") && Contains("\"numbers\":[1.0,2.0]") && Contains("\"input\":[3,32,32]"));
  const Description mixed =
      description_from_json(R"({"input":[1],"nodes":[{"name":"a","type":"b","attributes":{"x":[1,2.5]}}]})");
  CHECK(mixed.nodes[0].attributes == Attributes{{"x", std::vector<double>{1, 2.5}}});
  net.nodes[1].attributes.set("bad", std::numeric_limits<double>::infinity());
  CHECK_THROWS_WITH(to_json(net), Contains("'second'") && Contains("'bad'"));
}

TEST_CASE("description: other JSON is refused with the node and the key", "[io]") {
  const auto with = [](const std::string& node) { return R"({"input":[3,8,8],"nodes":[)" + node + "]}"; };
  const std::pair<std::string, const char*> cases[] = {
      {"", "byte"},
      {"[]", "object"},
      {R"({"nodes":[]})", "'input'"},
      {R"({"input":[3,8,8]})", "'nodes'"},
      {R"({"input":[3,-8,8],"nodes":[]})", "-8"},
      {R"({"input":[3.5],"nodes":[]})", "'input'"},
      {R"({"input":[1,1,1,1,1,1,1],"nodes":[]})", "6"},
      {R"({"input":[3],"nodes":[],"x":1})", "'x'"},
      {R"({"input":[3],"input":[3],"nodes":[]})", "twice"},
      {with("1"), "node 0"},
      {with(R"({"name":"n"})"), "'type'"},
      {with(R"({"name":1,"type":"t"})"), "'name'"},
      {with(R"({"name":"n","type":"t","more":1})"), "'more'"},
      {with(R"({"name":"n","type":"t","inputs":"x"})"), "'inputs'"},
      {with(R"({"name":"n","type":"t","inputs":[1]})"), "'inputs'"},
      {with(R"({"name":"n","type":"t","attributes":[]})"), "'attributes'"},
      {with(R"({"name":"n","type":"t","attributes":{"k":null}})"), "'k'"},
      {with(R"({"name":"n","type":"t","attributes":{"k":{}}})"), "'k'"},
      {with(R"({"name":"n","type":"t","attributes":{"k":[1,"a"]}})"), "'k'"},
      {with(R"({"name":"n","type":"t","attributes":{"k":[[1]]}})"), "'k'"},
      {with(R"({"name":"n","type":"t","attributes":{"k":18446744073709551615}})"), "'k'"},
      {with(R"({"name":"n","type":"t","attributes":{"k":1e999}})"), "large"},
      {std::string(1'000'000, '['), "deeper"}};
  for (const auto& [text, part] : cases) {
    CAPTURE(text.substr(0, 100));
    CHECK_THROWS_WITH(description_from_json(text), Contains(part));
  }
}

}  // namespace
}  // namespace gsnet::io
