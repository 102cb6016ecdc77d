// ONNX files that are cut short, altered, enormous or wrong: one clear Error each, and never more memory than the file.
#if GSNET_WITH_ONNX
#include <catch2/catch.hpp>

#include "core/error.h"
#include "io/onnx_import.h"
#include "tests/io/onnx_models.h"

namespace gsnet::io {
namespace {

using Catch::Matchers::Contains;
using test::OnnxModel;

Backend& reference() {
  static const auto backend = make_backend({"reference", 1});
  return *backend;
}

std::string refusal(const std::string& bytes) {
  static const test::TemporaryFolder folder;
  test::put_bytes(folder / "net.onnx", bytes);
  try {
    import_onnx(folder / "net.onnx", {}, reference());
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

std::string refusal(const OnnxModel& net) { return refusal(net.bytes()); }

/// A field of protobuf's that holds bytes.
std::string field(uint32_t number, const std::string& content) {
  std::string text;
  const auto varint = [&](uint64_t value) {
    for (; value >= 128; value >>= 7U) text.push_back(static_cast<char>(value % 128 + 128));
    text.push_back(static_cast<char>(value));
  };
  varint(number * 8 + 2);
  varint(content.size());
  return text + content;
}

std::string repeated(const std::string& text, size_t times) {
  std::string all;
  all.reserve(text.size() * times);
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

}  // namespace

TEST_CASE("onnx hostile: cut short anywhere", "[onnx]") {
  const std::string whole = test::small_model().bytes();
  CHECK(refusal(whole) == "accepted");
  for (size_t length = 0; length < whole.size(); ++length) {
    const std::string found = refusal(whole.substr(0, length));
    INFO(length);
    CHECK_THAT(found, Contains("cannot import") && Contains("net.onnx"));
  }
}

TEST_CASE("onnx hostile: bytes altered", "[onnx]") {
  const std::string whole = test::small_model().bytes();
  int refused = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int change : {1, 0x80}) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ change);
      refused += refusal(bytes) == "accepted" ? 0 : 1;  // anything but Error ends the test
    }
  }
  CHECK(refused > 100);
}

TEST_CASE("onnx hostile: no model at all", "[onnx]") {
  CHECK_THAT(refusal(std::string("PK\x03\x04 something else")), Contains("no ONNX model"));
  CHECK_THAT(refusal(std::string()), Contains("no graph"));
  OnnxModel net = test::small_model();
  net.model.mutable_opset_import(0)->set_version(6);
  CHECK_THAT(refusal(net), Contains("version 6") && Contains("7 to 21"));
  net.model.mutable_opset_import(0)->set_domain("com.example");
  CHECK_THAT(refusal(net), Contains("no version of the standard operators"));
}

TEST_CASE("onnx hostile: more of everything than a graph has", "[onnx]") {
  const auto graph = [](const std::string& content) { return refusal(field(7, content)); };
  CHECK_THAT(graph(repeated(field(1, ""), 1'000'000)), Contains("more than 100000 nodes"));
  CHECK_THAT(graph(repeated(field(5, ""), 200'000)), Contains("more than 100000 tensors"));
  CHECK_THAT(graph(field(1, repeated(field(5, ""), 1'100'000))), Contains("more than 1000000 attributes"));
  CHECK_THAT(graph(field(1, repeated(field(1, ""), 2'100'000))), Contains("more than 2000000 names"));
  CHECK_THAT(graph(field(1, field(5, repeated(field(11, ""), 1'100'000)))), Contains("more than 1000000 parts"));
  CHECK_THAT(refusal(repeated(field(7, ""), 2)), Contains("more than 1 graphs"));
  std::string deep;  // subgraphs inside subgraphs
  for (int i = 0; i < 4'000; ++i) deep = field(1, field(5, field(6, deep)));
  CHECK_THAT(graph(deep), Contains("no ONNX model, is cut short, or nests too deep"));
}

TEST_CASE("onnx hostile: graphs that do not hold together", "[onnx]") {
  OnnxModel cycle({2});
  cycle.node("Add", {"x", "2"}, "1", "first");
  cycle.node("Relu", {"1"}, "2", "second");
  cycle.node("Relu", {"2"}, "y", "third");
  CHECK_THAT(refusal(cycle),
             Contains("'first' (Add): it reads '2', which nothing before it makes") && !Contains("third"));
  OnnxModel twice({2});
  twice.node("Relu", {"x"}, "y");
  twice.node("Abs", {"x"}, "y");
  CHECK_THAT(refusal(twice), Contains("'y' is made twice"));
  OnnxModel nothing({2});
  CHECK_THAT(refusal(nothing), Contains("'y' is not computed"));
  nothing.node("Identity", {"x"}, "y");
  CHECK_THAT(refusal(nothing), Contains("there is no network"));
  OnnxModel loop({2});
  onnx::NodeProto& node = loop.node("If", {"x"}, "y", "choice");
  onnx::AttributeProto& branch = *node.add_attribute();
  branch.set_name("then_branch");
  branch.set_type(onnx::AttributeProto::GRAPH);
  branch.mutable_g()->add_node()->set_op_type("Relu");
  CHECK_THAT(refusal(loop), Contains("'choice' (If): the operator is not supported"));
  OnnxModel bare({2});
  bare.node("Add", {"x"}, "y", "half");
  CHECK_THAT(refusal(bare), Contains("it needs two inputs"));
  bare.model.mutable_graph()->mutable_node(0)->clear_output();
  CHECK_THAT(refusal(bare), Contains("'y' is not computed"));
  OnnxModel inputs({2});
  inputs.node("Relu", {"x"}, "y");
  inputs.model.mutable_graph()->add_input()->set_name("z");
  CHECK_THAT(refusal(inputs), Contains("2 inputs, expected one: 'x', 'z'"));
}

TEST_CASE("onnx hostile: tensors that do not fit their data", "[onnx]") {
  const auto with = [](auto&& change) {
    OnnxModel net = test::small_model();
    change(*net.model.mutable_graph()->mutable_initializer(0));
    return refusal(net);
  };
  using Proto = onnx::TensorProto;
  CHECK_THAT(with([](Proto& w) { w.set_dims(0, int64_t{1} << 40); }), Contains("tensor 'w'") && Contains("needs"));
  CHECK_THAT(with([](Proto& w) { w.set_dims(0, int64_t{1} << 62); }), Contains("tensor 'w'"));
  CHECK_THAT(with([](Proto& w) { w.set_dims(0, -3); }), Contains("tensor 'w'"));
  CHECK_THAT(with([](Proto& w) { w.set_dims(0, 0); }), Contains("216 bytes, (0, 2, 3, 3) needs 0"));
  CHECK_THAT(with([](Proto& w) { w.set_dims(0, 0), w.clear_raw_data(); }), Contains("weights of (0, 2, 3, 3)"));
  CHECK_THAT(with([](Proto& w) { w.clear_raw_data(), w.add_float_data(1); }), Contains("1 numbers for (3, 2, 3, 3)"));
  CHECK_THAT(with([](Proto& w) { w.set_data_type(Proto::STRING); }), Contains("type STRING"));
  CHECK_THAT(with([](Proto& w) { w.set_data_type(99); }), Contains("type number 99"));
  CHECK_THAT(with([](Proto& w) { w.set_data_type(Proto::INT32); }), Contains("integers where weights are expected"));
  CHECK_THAT(with([](Proto& w) {
               for (int i = 0; i < 4; ++i) w.add_dims(1);
             }),
             Contains("8 axes"));
  std::string numbers = test::small_model().model.graph().initializer(0).raw_data();
  numbers.replace(0, 4, std::string("\x00\x00\xC0\x7F", 4));  // not a number
  CHECK_THAT(with([&](Proto& w) { w.set_raw_data(numbers); }), Contains("nan at element 0"));
}

TEST_CASE("onnx hostile: external data stay inside the folder and the file", "[onnx]") {
  const test::TemporaryFolder home;
  std::filesystem::create_directory(home / "models");
  const std::string data = test::small_model().model.graph().initializer(0).raw_data();
  test::put_bytes(home / "secret.bin", data);
  test::put_bytes(home / "models/w.bin", "1234" + data);
  std::filesystem::create_symlink(home / "secret.bin", home / "models/link.bin");
  const auto with = [&](const std::string& location, const std::string& offset,
                        const std::string& length) -> std::string {
    OnnxModel net = test::small_model();
    onnx::TensorProto& w = *net.model.mutable_graph()->mutable_initializer(0);
    w.clear_raw_data();
    w.set_data_location(onnx::TensorProto::EXTERNAL);
    for (const auto& [key, value] :
         {std::pair("location", location), std::pair("offset", offset), std::pair("length", length)}) {
      if (value.empty()) continue;
      w.add_external_data()->set_key(key);
      w.mutable_external_data(w.external_data_size() - 1)->set_value(value);
    }
    try {
      import_onnx(net.save(home / "models/net.onnx"), {}, reference());
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK(with("w.bin", "4", "216") == "accepted");
  CHECK(with("./w.bin", "4", "") == "accepted");
  CHECK_THAT(with("../secret.bin", "", ""), Contains("outside the file's folder"));
  CHECK_THAT(with("link.bin", "", ""), Contains("outside the file's folder"));
  CHECK_THAT(with((home / "secret.bin").string(), "", ""), Contains("outside the file's folder"));
  CHECK_THAT(with("", "", ""), Contains("outside the file's folder"));
  CHECK_THAT(with("w.bin", "5", "216"), Contains("bytes 5 to 221") && Contains("has 220"));
  CHECK_THAT(with("w.bin", "18446744073709551615", ""), Contains("which has 220"));
  CHECK_THAT(with("w.bin", "4", "215"), Contains("215 bytes"));
  CHECK_THAT(with("w.bin", "-4", "216"), Contains("'-4' as offset"));
  CHECK_THAT(with("missing.bin", "", ""), Contains("missing.bin"));
}

TEST_CASE("onnx hostile: settings out of range", "[onnx]") {
  const auto with = [](const std::string& name, std::initializer_list<int64_t> values) {
    OnnxModel net = test::small_model();
    OnnxModel::set(*net.model.mutable_graph()->mutable_node(0), name, values);
    return refusal(net);
  };
  CHECK_THAT(with("strides", {0, 1}), Contains("strides is 0"));
  CHECK_THAT(with("dilations", {int64_t{1} << 62, 1}), Contains("dilations is"));
  CHECK_THAT(with("pads", {-1, 0, 0, 0}), Contains("pads has -1"));
  CHECK_THAT(with("pads", {1, 1}), Contains("2 numbers, expected 4"));
  CHECK_THAT(with("kernel_shape", {5, 5}), Contains("kernel_shape"));
  CHECK_THAT(with("group", {2}), Contains("of kind INTS, expected INT"));
  CHECK_THAT(with("pads", {1 << 20, 1 << 20, 1 << 20, 1 << 20}), Contains("too large"));
  OnnxModel filled({2});
  filled.integers("shape", {1 << 20, 1 << 20});
  filled.node("ConstantOfShape", {"shape"}, "c", "fill");
  filled.node("Add", {"x", "c"}, "y");
  CHECK_THAT(refusal(filled), Contains("'fill' (ConstantOfShape)") && Contains("too large"));
}

}  // namespace gsnet::io
#endif
