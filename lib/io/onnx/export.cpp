#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "io/file.h"
#include "io/json_text.h"
#include "io/onnx/onnx_emitter.h"
#include "io/onnx_export.h"
#include "io/safetensors.h"

namespace gsnet::io {
namespace {

constexpr int64_t kFirstOpset = 13, kLastOpset = 21;

/// The format's version that came with an opset.
int64_t ir_version(int64_t opset) { return opset <= 14 ? 7 : opset <= 18 ? 8 : opset <= 20 ? 9 : 10; }

void declare(onnx::ValueInfoProto& info, const std::string& name, const Shape& sample) {
  info.set_name(name);
  onnx::TypeProto::Tensor& type = *info.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx::TensorProto::FLOAT);
  type.mutable_shape()->add_dim()->set_dim_param("N");
  for (const int64_t extent : sample.extents()) type.mutable_shape()->add_dim()->set_dim_value(extent);
}

void add_metadata(onnx::ModelProto& file, const std::string& key, const std::string& value) {
  onnx::StringStringEntryProto& entry = *file.add_metadata_props();
  entry.set_key(key);
  entry.set_value(value);
}

/// What is to be done to pixel / 255 before the file sees it.
void describe_input(onnx::ModelProto& file, const ModelInfo& info, bool with_normalisation) {
  std::vector<double> mean = info.mean, stddev = info.stddev;
  if (with_normalisation) {
    std::ranges::fill(mean, 0);
    std::ranges::fill(stddev, 1 / 255.0);
  }
  add_metadata(file, "gsnet.mean", dump_json(mean, "the means"));
  add_metadata(file, "gsnet.stddev", dump_json(stddev, "the deviations"));
  add_metadata(file, "gsnet.classes", dump_json(info.class_names, "the class names"));
  if (info.order == ChannelOrder::bgr) add_metadata(file, "gsnet.order", "bgr");
}

/// (pixel / 255 - mean) / stddev
Emitter::Value normalised(OnnxEmitter& emitter, Emitter::Value x, const ModelInfo& info) {
  const auto channels = static_cast<int64_t>(info.mean.size());
  const Tensor scale = Tensor::empty({channels}, DType::f32), shift = Tensor::empty({channels}, DType::f32);
  for (size_t c = 0; c < info.mean.size(); ++c) {
    scale.data<float>()[c] = static_cast<float>(1 / (255 * info.stddev[c]));
    shift.data<float>()[c] = static_cast<float>(-info.mean[c] / info.stddev[c]);
  }
  emitter.begin_layer("normalisation");
  return emitter.scale_shift(x, &scale, &shift);
}

onnx::ModelProto model_proto(const Model& model, const OnnxExportOptions& options) {
  GSNET_CHECK(options.opset >= kFirstOpset && options.opset <= kLastOpset,
              fmt::format("the opset must be {} … {}, got {}", kFirstOpset, kLastOpset, options.opset));
  GSNET_CHECK(model.graph != nullptr, "the model has no network");
  onnx::ModelProto file;
  file.set_ir_version(ir_version(options.opset));
  file.add_opset_import()->set_version(options.opset);
  file.set_producer_name("gsnet");
  file.set_producer_version(GSNET_VERSION);
  describe_input(file, model.info, options.with_normalisation);
  onnx::GraphProto& graph = *file.mutable_graph();
  graph.set_name("gsnet");
  OnnxEmitter emitter(graph, options.opset);
  emitter.reserve(options.input_name);
  emitter.reserve(options.output_name);
  declare(*graph.add_input(), options.input_name, model.graph->input());
  Emitter::Value x = emitter.input(options.input_name, model.graph->input());
  if (options.with_normalisation) x = normalised(emitter, x, model.info);
  const Emitter::Value y = model.graph->emit(emitter, x);
  onnx::NodeProto& last = *graph.add_node();
  last.set_op_type("Identity");
  last.set_name("network/Identity");
  last.add_input(emitter.name(y));
  last.add_output(options.output_name);
  declare(*graph.add_output(), options.output_name, emitter.shape(y));
  return file;
}

}  // namespace

void export_onnx(const std::filesystem::path& path, const Model& model, const OnnxExportOptions& options) {
  try {
    std::string bytes;
    GSNET_CHECK(model_proto(model, options).SerializeToString(&bytes), "protobuf refuses to write it");
    write_atomically(path, bytes);
  } catch (const Error& error) {
    throw Error(fmt::format("cannot write '{}' as ONNX: {}", path.string(), error.what()));
  }
}

}  // namespace gsnet::io
