// What ONNX graphs become: names, values, folded shapes, and refusals that name every node.
#if GSNET_WITH_ONNX
#include <catch2/catch.hpp>
#include <cmath>

#include "core/error.h"
#include "io/model_file.h"
#include "io/onnx/network.h"
#include "io/onnx_import.h"
#include "tests/io/onnx_models.h"
#include "tests/support/shared_folder.h"

namespace gsnet::io {
namespace {

using Catch::Matchers::Contains;
using test::OnnxModel;

const test::TemporaryFolder& folder() {
  static const test::TemporaryFolder kept;
  return kept;
}

Backend& reference() {
  static const auto backend = make_backend({"reference", 1});
  return *backend;
}

Model imported(const OnnxModel& net, const OnnxImportOptions& options = {}) {
  return import_onnx(net.save(folder() / "net.onnx"), options, reference());
}

/// The outputs for two samples of given numbers, row-major.
std::vector<double> outputs(const Model& model, std::vector<double> x) {
  Shape shape = model.graph->input().rank() == 3 ? Shape{1, 0, 0, 0} : Shape{1, 0};
  for (int i = 0; i < model.graph->input().rank(); ++i) shape = shape.with(i + 1, model.graph->input()[i]);
  shape = shape.with(0, static_cast<int64_t>(x.size()) / model.graph->input().numel());
  Tensor input = Tensor::of(shape, std::span<const double>(x));
  if (shape.rank() == 4) input = with_layout(input, Layout::channels_last);
  Tape tape(reference(), {});
  const Tensor y = model.graph->forward(tape, tape.input(reference().upload(input))).value;
  const Tensor rows = with_layout(with_dtype(reference().download(y), DType::f64), Layout::row_major);
  return {rows.host<double>().begin(), rows.host<double>().end()};
}

std::vector<std::string> types(const Model& model) {
  std::vector<std::string> found;
  for (const NodeDescription& node : model.info.description.nodes) found.push_back(node.type);
  return found;
}

std::string refusal(const OnnxModel& net, const OnnxImportOptions& options = {}) {
  try {
    imported(net, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("onnx import: a node's name becomes a path", "[onnx]") {
  CHECK(path_of_node("/layer1/layer1.0/conv1/Conv", "Conv") == "layer1.0.conv1");
  CHECK(path_of_node("/features/features.0/conv/conv.0/conv.0.2/Clip", "Clip") == "features.0.conv.0.2");
  CHECK(path_of_node("/relu/relu_1/Relu_3", "Relu") == "relu.relu_1");
  CHECK(path_of_node("/Reshape", "Reshape").empty());
  CHECK(path_of_node("Conv_0", "Conv").empty());
  CHECK(path_of_node("/a b/../c/Conv", "Conv") == "a_b.c");
  CHECK(path_of_weight("layer1.0.conv1.weight") == "layer1.0.conv1");
  CHECK(path_of_weight("onnx::Conv_5.weight").empty());
}

TEST_CASE("onnx import: layers, names and numbers", "[onnx]") {
  const Model model = imported(test::small_model());
  CHECK(types(model) == std::vector<std::string>{"conv2d", "relu", "flatten", "linear"});
  CHECK(model.info.description.nodes[0].name == "body.0");
  CHECK(model.info.description.nodes[2].name == "reshape2");
  CHECK(model.info.description.nodes[3].name == "fc");
  CHECK(model.info.mean == std::vector<double>{0, 0});
  CHECK(model.info.stddev == std::vector<double>{1, 1});
  CHECK(model.info.class_names.empty());
  std::vector<double> x(64);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<double>(i));
  const std::vector<double> y = outputs(model, x);
  REQUIRE(y.size() == 10);
  // One output by hand: the second sample's first number.
  const auto number = [](size_t i) { return static_cast<double>(static_cast<float>((i * 37 + 11) % 19) / 19 - 0.4F); };
  double sum = number(0);
  for (size_t o = 0; o < 3; ++o) {
    for (size_t p = 0; p < 4; ++p) {
      double h = number(o);
      for (size_t t = 0; t < 18; ++t)
        h += number(o * 18 + t) * x[32 + t / 9 * 16 + (p / 2 + t % 9 / 3) * 4 + p % 2 + t % 3];
      sum += number(o * 4 + p) * std::max(0.0, h);
    }
  }
  CHECK(y[5] == Approx(sum).epsilon(1e-12));
  save_model(folder() / "model", model);
  CHECK(outputs(load_model(folder() / "model", reference()), x) == y);
}

TEST_CASE("onnx import: files are told by name or by their first bytes", "[onnx]") {
  test::small_model().save(folder() / "network.bin");
  test::put_bytes(folder() / "other.bin", std::string("\x08\0\0\0\0\0\0\0{}      ", 16));  // safetensors
  test::put_bytes(folder() / "empty.bin", "");
  CHECK(is_onnx_file(folder() / "network.bin"));
  CHECK(is_onnx_file("missing.onnx"));
  for (const char* name : {"other.bin", "empty.bin", "missing.bin"}) CHECK_FALSE(is_onnx_file(folder() / name));
}

TEST_CASE("onnx import: options, metadata, names of classes", "[onnx]") {
  OnnxModel net = test::small_model();
  const Model told = imported(net, {.mean = {0.5}, .stddev = {0.2, 0.3}, .class_names = {"a", "b", "c", "d", "e"}});
  CHECK(told.info.mean == std::vector<double>{0.5, 0.5});
  CHECK(told.info.class_names[4] == "e");
  CHECK_THAT(refusal(net, {.class_names = {"a"}}), Contains("1 class names for 5 outputs"));
  CHECK_THAT(refusal(net, {.stddev = {0.0}}), Contains("positive deviation"));
  CHECK_THAT(refusal(net, {.input = Shape{7}}), Contains("(7)"));
  CHECK_THAT(refusal(net, {.output = "z"}), Contains("no output 'z'") && Contains("'y'"));
  net.model.mutable_graph()->add_output()->set_name("2");
  CHECK_THAT(refusal(net), Contains("2 outputs, choose one: 'y', '2'"));
  CHECK(types(imported(net, {.output = "2"})) == std::vector<std::string>{"conv2d", "relu"});
  auto* extent =
      net.model.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(
          2);
  extent->set_dim_param("H");
  CHECK_THAT(refusal(net, {.output = "2"}), Contains("leaves an extent open"));
  CHECK(imported(net, {.input = Shape{2, 5, 4}, .output = "2"}).graph->output() == Shape{3, 3, 2});
}

TEST_CASE("onnx import: shapes that older exporters compute are folded", "[onnx]") {
  OnnxModel net({2, 3, 3}, 11, 1);
  net.node("Shape", {"x"}, "s");
  net.integers("zero", {0}).clear_dims();
  net.node("Gather", {"s", "zero"}, "n");
  OnnxModel::set(net.node("Unsqueeze", {"n"}, "n1"), "axes", {0});
  net.integers("rest", {-1});
  OnnxModel::set(net.node("Concat", {"n1", "rest"}, "shape"), "axis", int64_t{0});
  net.node("Reshape", {"x", "shape"}, "y");
  const Model model = imported(net);
  CHECK(types(model) == std::vector<std::string>{"flatten"});
  CHECK(model.graph->output() == Shape{18});
  OnnxModel moved = net;
  moved.model.mutable_graph()->mutable_node(3)->set_input(0, "rest");
  moved.model.mutable_graph()->mutable_node(3)->set_input(1, "n1");
  CHECK_THAT(refusal(moved), Contains("moves the batch's extent"));
  OnnxModel squeezed({4, 1, 1}, 11, 1);
  squeezed.node("Squeeze", {"x"}, "y");
  CHECK(imported(squeezed).graph->output() == Shape{4});
}

TEST_CASE("onnx import: constants before and after become scale and shift", "[onnx]") {
  OnnxModel net({2, 1, 2});
  net.floats("mean", {1, 2, 1, 1}, {1, 2});
  net.floats("two", {}, {2});
  net.floats("w", {1, 2, 1, 1}, {1, -1});
  net.floats("b", {1, 1, 1}, {0.5});
  net.node("Sub", {"x", "mean"}, "1");
  net.node("Div", {"1", "two"}, "2");
  net.node("Conv", {"2", "w"}, "3", "/conv/Conv");
  net.node("Add", {"3", "b"}, "4");
  net.node("Sub", {"two", "4"}, "y");
  const Model model = imported(net);
  CHECK(types(model) == std::vector<std::string>{"scale_shift", "scale_shift", "conv2d", "scale_shift"});
  // 2 - ((3 - 1) / 2 - (6 - 2) / 2 + 0.5) and the like
  CHECK(outputs(model, {3, 1, 6, 2}) == std::vector<double>{2.5, 1.5});
  net.floats("per_pixel", {1, 1, 1, 2}, {1, 2});
  net.node("Mul", {"4", "per_pixel"}, "z");
  net.model.mutable_graph()->mutable_output(0)->set_name("z");
  CHECK_THAT(refusal(net), Contains("does not give a number to each channel"));
}

TEST_CASE("onnx import: a sum becomes a bias only where nobody else reads the product", "[onnx]") {
  OnnxModel net({2});
  net.floats("w", {2, 2}, {1, 0, 0, 1});
  net.floats("b", {2}, {10, 20});
  net.node("MatMul", {"x", "w"}, "1", "/fc/MatMul");
  net.node("Identity", {"1"}, "2");
  net.node("Add", {"2", "b"}, "3");
  net.node("Add", {"3", "1"}, "y");
  CHECK(outputs(imported(net), {1, 2}) == std::vector<double>{12, 24});
  net.model.mutable_graph()->mutable_node(3)->set_input(1, "3");
  const Model model = imported(net);
  CHECK(types(model) == std::vector<std::string>{"linear", "add"});
  CHECK(outputs(model, {1, 2}) == std::vector<double>{22, 44});
}

TEST_CASE("onnx import: slopes, bounds and versions", "[onnx]") {
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{2}, {2, 1, 1}, {1, 2, 1, 1}, {1}}) {
    OnnxModel net({2, 1, 1}, 9);
    net.floats("s", shape, shape == std::vector<int64_t>{1} ? std::vector<float>{0.5} : std::vector<float>{0.5, 0.25});
    net.node("PRelu", {"x", "s"}, "1");
    onnx::NodeProto& clip = net.node("Clip", {"1"}, "y");
    OnnxModel::set(clip, "min", -1.0F);
    OnnxModel::set(clip, "max", 6.0F);
    CHECK(outputs(imported(net), {-1, -8, 1, 8}) == std::vector<double>{-0.5, -1, 1, 6});
  }
  OnnxModel norm({2}, 9);
  for (const char* name : {"a", "b", "m"}) norm.floats(name, {2}, {1, 2});
  norm.floats("v", {2}, {4, 1e-12F});
  OnnxModel::set(norm.node("BatchNormalization", {"x", "a", "b", "m", "v"}, "y"), "epsilon", 1e-5F);
  const Model model = imported(norm);
  CHECK(model.info.description.nodes[0].attributes.find("epsilon") == nullptr);  // 1e-5 exactly, ours
  CHECK(outputs(model, {3, 3})[1] == Approx(2 + 2 / std::sqrt(1e-5 + 1e-12)).epsilon(1e-6));
  norm.floats("v2", {2}, {1, -1});
  norm.model.mutable_graph()->mutable_node(0)->set_input(4, "v2");
  CHECK_THAT(refusal(norm), Contains("variance of -1"));
}

TEST_CASE("onnx import: every node that cannot be a layer is named at once", "[onnx]") {
  OnnxModel net({2, 4, 4});
  net.node("Resize", {"x"}, "1", "up");
  net.node("Relu", {"1"}, "2", "fine");
  net.node("Gelu", {"2"}, "3", "gelu").set_domain("com.microsoft");
  onnx::NodeProto& pool = net.node("MaxPool", {"x"}, "4", "pool");
  OnnxModel::set(pool, "kernel_shape", {2, 2});
  OnnxModel::set(pool, "dilations", {2, 2});
  OnnxModel::set(net.node("Relu", {"x"}, "5", "strange"), "colour", int64_t{1});
  net.node("Einsum", {"x"}, "unused", "never needed");
  net.node("Sum", {"3", "4", "5"}, "y", "sum");
  const std::string text = refusal(net);
  CHECK_THAT(text, Contains("5 of its nodes") && Contains("'up' (Resize)") && Contains("'gelu' (com.microsoft.Gelu)") &&
                       Contains("'pool' (MaxPool): dilations") && Contains("attribute 'colour'") &&
                       Contains("'sum' (Sum)"));
  CHECK_THAT(text, !Contains("fine") && !Contains("never needed"));
}

TEST_CASE("onnx import: a published face network", "[onnx]") {
  GSNET_NEED_SHARED(shared);
  const auto path = shared / "data/weights/MobileFaceNet.onnx";
  if (!std::filesystem::exists(path)) {
    WARN("skipped: there is no MobileFaceNet.onnx");
    return;
  }
  const auto backend = make_backend({"cpu", 2});
  const Model model = import_onnx(path, {}, *backend);
  CHECK(model.graph->output() == Shape{128});
  CHECK(model.info.description.nodes[6].name == "features.0.conv.0.0");
  Tensor x = Tensor::empty({1, 3, 112, 112}, DType::f32);
  for (int64_t i = 0; i < x.numel(); ++i)
    x.data<float>()[i] = static_cast<float>(std::sin(0.37 * static_cast<double>(i)));
  Tape tape(*backend, {});
  const Var y = model.graph->forward(tape, tape.input(backend->upload(with_layout(x, Layout::channels_last))));
  const Tensor numbers = with_dtype(backend->download(y.value), DType::f64);
  // Expected: onnxruntime 1.32 on the same file and input.
  const std::vector<double> expected = {-0.273865, -0.828658, 0.568387, -0.891082, 0.351683, 1.256542};
  for (size_t i = 0; i < expected.size(); ++i) CHECK(numbers.host<double>()[i] == Approx(expected[i]).margin(1e-4));
}

}  // namespace gsnet::io
#endif
