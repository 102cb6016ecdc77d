// Files that are written: their form, and networks that come back from them unchanged.
#if GSNET_WITH_ONNX
#include <catch2/catch.hpp>
#include <set>

#include "core/error.h"
#include "io/model_file.h"
#include "io/onnx_export.h"
#include "io/onnx_import.h"
#include "layers/architectures.h"
#include "layers/lipconvnet.h"
#include "tests/io/onnx_models.h"

namespace gsnet::io {
namespace {

using Catch::Matchers::Contains;

const test::TemporaryFolder& folder() {
  static const test::TemporaryFolder kept;
  return kept;
}

Model network(Description description, Backend& backend) {
  Model model;
  model.info.description = std::move(description);
  const auto channels = static_cast<size_t>(model.info.description.input[0]);
  model.info.mean.assign(channels, 0.25);
  model.info.stddev.assign(channels, 0.5);
  model.graph = std::make_unique<Graph>(model.info.description, backend, RandomKey(5));
  return model;
}

onnx::ModelProto written(const Model& model, const OnnxExportOptions& options = {}) {
  export_onnx(folder() / "net.onnx", model, options);
  onnx::ModelProto proto;
  REQUIRE(proto.ParseFromString(test::bytes_of(folder() / "net.onnx")));
  return proto;
}

Tensor outputs(const Model& model, const Tensor& x) {
  Backend& backend = model.graph->backend();
  Tape tape(backend, {});
  const Tensor y = model.graph->forward(tape, tape.input(backend.upload(x))).value;
  return with_dtype(backend.download(y), DType::f64);
}

/// Batch norm with statistics, a residual, depthwise, pools, a head.
Description plain() {
  Description net;
  net.input = {3, 12, 12};
  net.nodes = {
      {"stem.conv", "conv2d", {}, {{"channels", int64_t{8}}, {"padding", int64_t{1}}, {"bias", false}}},
      {"stem.bn", "batch_norm", {}, {}},
      {"stem.act", "clip", {}, {{"min", 0.0}, {"max", 6.0}}},
      {"body.depthwise", "conv2d", {}, {{"channels", int64_t{8}}, {"padding", int64_t{1}}, {"groups", int64_t{8}}}},
      {"body.act", "prelu", {}, {}},
      {"body.add", "add", {"body.act", "stem.act"}, {}},
      {"pool", "pool", {}, {{"kind", std::string("l2")}}},
      {"mean", "pool", {}, {{"global", true}}},
      {"flatten", "flatten", {}, {}},
      {"head", "linear", {}, {{"features", int64_t{4}}}}};
  return net;
}

}  // namespace

TEST_CASE("onnx export: the batch is free, names follow the layers", "[onnx]") {
  const auto backend = make_backend({"cpu", 1});
  Model model = network(plain(), *backend);
  model.info.class_names = {"a", "b", "c", "d"};
  const onnx::ModelProto proto = written(model, {.input_name = "data", .output_name = "fc1"});
  const onnx::GraphProto& graph = proto.graph();
  CHECK(proto.opset_import(0).version() == 17);
  CHECK(graph.input(0).name() == "data");
  CHECK(graph.output(0).name() == "fc1");
  CHECK(graph.input(0).type().tensor_type().shape().dim(0).dim_param() == "N");
  CHECK(graph.node(0).name() == "stem.conv/Conv");
  CHECK(graph.node(0).input(1) == "stem.conv.weight");
  std::set<std::string> names;
  for (const auto& node : graph.node()) CHECK(names.insert(node.output(0)).second);
  for (const auto& tensor : graph.initializer()) CHECK(names.insert(tensor.name()).second);
  const Model back = import_onnx(folder() / "net.onnx", {}, *backend);
  CHECK(back.info.mean == model.info.mean);
  CHECK(back.info.class_names == model.info.class_names);
  CHECK(back.info.description.nodes[0].name == "stem.conv");
  CHECK(import_onnx(folder() / "net.onnx", {.class_names = {"p", "q", "r", "s"}}, *backend).info.class_names[3] == "s");
}

TEST_CASE("onnx export: what comes back computes the same", "[onnx]") {
  const auto backend = make_backend({"cpu", 1});
  const Description nets[] = {plain(), make_architecture("resnet20", {}, {3, 32, 32}, 10)};
  for (const Description& net : nets) {
    const Model model = network(net, *backend);
    for (const NamedTensor& named : state_of(*model.graph)) {  // statistics worth the name
      if (named.name.ends_with("running_var")) backend->fill(0.3, *named.tensor);
      if (named.name.ends_with("running_mean")) backend->fill(-0.1, *named.tensor);
    }
    state_changed(*model.graph);
    Tensor x = Tensor::empty({3, net.input[0], net.input[1], net.input[2]}, DType::f32, Layout::channels_last);
    for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = static_cast<float>((i * 7919) % 1000) / 500 - 1;
    const Tensor wanted = outputs(model, x);
    for (const int64_t opset : {13, 17, 18, 21}) {
      written(model, {.opset = opset});
      const Tensor found = outputs(import_onnx(folder() / "net.onnx", {}, *backend), x);
      REQUIRE(found.shape() == wanted.shape());
      for (int64_t i = 0; i < found.numel(); ++i)
        CHECK(found.data<double>()[i] == Approx(wanted.data<double>()[i]).margin(1e-5));
    }
  }
}

TEST_CASE("onnx export: a series stores its kernel once", "[onnx]") {
  const auto backend = make_backend({"cpu", 1});
  const Model model = network(lipconvnet({{"width", int64_t{4}}, {"groups", int64_t{2}}}, {3, 32, 32}, 10), *backend);
  const onnx::ModelProto proto = written(model);
  int convolutions = 0, kernels = 0;
  for (const auto& node : proto.graph().node())
    convolutions += node.op_type() == "Conv" && node.name().starts_with("level1.conv0/");
  for (const auto& tensor : proto.graph().initializer()) kernels += tensor.name().starts_with("level1.conv0.weight");
  CHECK(convolutions == 7);  // the degree of evaluation
  CHECK(kernels == 1);
}

TEST_CASE("onnx export: wrong wishes leave nothing behind", "[onnx]") {
  const auto backend = make_backend({"cpu", 1});
  const Model model = network(plain(), *backend);
  const test::TemporaryFolder place;
  const auto refusal = [&](const OnnxExportOptions& options) -> std::string {
    try {
      export_onnx(place / "net.onnx", model, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK_THAT(refusal({.opset = 12}), Contains("net.onnx") && Contains("13 … 21, got 12"));
  CHECK_THAT(refusal({.input_name = "a", .output_name = "a"}), Contains("both be named 'a'"));
  CHECK_THAT(refusal({.input_name = ""}), Contains("empty"));
  CHECK(place.files() == 0);
  CHECK_THROWS_WITH(export_onnx(place / "no/net.onnx", model), Contains("No such file"));
}

TEST_CASE("onnx export: with pixels the file normalises", "[onnx]") {
  const auto backend = make_backend({"cpu", 1});
  const Model model = network(plain(), *backend);
  written(model, {.with_normalisation = true});
  const Model back = import_onnx(folder() / "net.onnx", {}, *backend);
  CHECK(back.info.stddev[0] == Approx(1 / 255.0));
  Tensor pixels = Tensor::empty({1, 3, 12, 12}, DType::f32, Layout::channels_last),
         x = Tensor::empty({1, 3, 12, 12}, DType::f32, Layout::channels_last);
  for (int64_t i = 0; i < x.numel(); ++i) {
    pixels.data<float>()[i] = static_cast<float>(i % 256);
    x.data<float>()[i] = (pixels.data<float>()[i] / 255 - 0.25F) / 0.5F;
  }
  const Tensor wanted = outputs(model, x), found = outputs(back, pixels);
  for (int64_t i = 0; i < found.numel(); ++i)
    CHECK(found.data<double>()[i] == Approx(wanted.data<double>()[i]).margin(1e-5));
}

}  // namespace gsnet::io
#endif
