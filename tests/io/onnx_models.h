// ONNX files made by hand, well-formed or not.
#pragma once

#if GSNET_WITH_ONNX
#include <onnx/onnx_pb.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <vector>

#include "tests/io/temporary_folder.h"

namespace gsnet::test {

/// A model with an input "x" and an output "y", both f32.
class OnnxModel {
 public:
  explicit OnnxModel(std::vector<int64_t> sample, int64_t opset = 13, int64_t batch = 0) {
    model.set_ir_version(8);
    model.add_opset_import()->set_version(opset);
    onnx::ValueInfoProto& x = *model.mutable_graph()->add_input();
    x.set_name("x");
    onnx::TypeProto::Tensor& type = *x.mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx::TensorProto::FLOAT);
    onnx::TensorShapeProto& shape = *type.mutable_shape();
    batch > 0 ? shape.add_dim()->set_dim_value(batch) : shape.add_dim()->set_dim_param("N");
    for (const int64_t extent : sample) shape.add_dim()->set_dim_value(extent);
    model.mutable_graph()->add_output()->set_name("y");
  }

  onnx::NodeProto& node(const std::string& op, std::initializer_list<std::string> inputs, const std::string& output,
                        const std::string& name = "") {
    onnx::NodeProto& made = *model.mutable_graph()->add_node();
    made.set_op_type(op);
    made.set_name(name);
    for (const std::string& input : inputs) made.add_input(input);
    made.add_output(output);
    return made;
  }

  onnx::TensorProto& floats(const std::string& name, std::vector<int64_t> shape, const std::vector<float>& values) {
    onnx::TensorProto& made = tensor(name, onnx::TensorProto::FLOAT, std::move(shape));
    made.set_raw_data(values.data(), values.size() * sizeof(float));
    return made;
  }
  onnx::TensorProto& integers(const std::string& name, const std::vector<int64_t>& values) {
    onnx::TensorProto& made = tensor(name, onnx::TensorProto::INT64, {static_cast<int64_t>(values.size())});
    for (const int64_t value : values) made.add_int64_data(value);
    return made;
  }
  onnx::TensorProto& tensor(const std::string& name, int type, std::vector<int64_t> shape) {
    onnx::TensorProto& made = *model.mutable_graph()->add_initializer();
    made.set_name(name);
    made.set_data_type(type);
    for (const int64_t extent : shape) made.add_dims(extent);
    return made;
  }

  static void set(onnx::NodeProto& node, const std::string& name, int64_t value) {
    onnx::AttributeProto& made = *node.add_attribute();
    made.set_name(name);
    made.set_type(onnx::AttributeProto::INT);
    made.set_i(value);
  }
  static void set(onnx::NodeProto& node, const std::string& name, std::initializer_list<int64_t> values) {
    onnx::AttributeProto& made = *node.add_attribute();
    made.set_name(name);
    made.set_type(onnx::AttributeProto::INTS);
    for (const int64_t value : values) made.add_ints(value);
  }
  static void set(onnx::NodeProto& node, const std::string& name, float value) {
    onnx::AttributeProto& made = *node.add_attribute();
    made.set_name(name);
    made.set_type(onnx::AttributeProto::FLOAT);
    made.set_f(value);
  }
  static void set(onnx::NodeProto& node, const std::string& name, const std::string& value) {
    onnx::AttributeProto& made = *node.add_attribute();
    made.set_name(name);
    made.set_type(onnx::AttributeProto::STRING);
    made.set_s(value);
  }

  std::string bytes() const { return model.SerializeAsString(); }
  std::filesystem::path save(const std::filesystem::path& path) const {
    put_bytes(path, bytes());
    return path;
  }

  onnx::ModelProto model;
};

/// x (2, 4, 4) -> Conv (3, 2, 3, 3) with bias -> Relu -> Reshape -> Gemm (5): "/body/body.0/Conv" and so on.
inline OnnxModel small_model() {
  OnnxModel net({2, 4, 4});
  std::vector<float> w(3 * 2 * 9), b(3), v(5 * 12), c(5);
  for (auto* values : {&w, &b, &v, &c}) {
    for (size_t i = 0; i < values->size(); ++i) (*values)[i] = static_cast<float>((i * 37 + 11) % 19) / 19 - 0.4F;
  }
  net.floats("w", {3, 2, 3, 3}, w);
  net.floats("b", {3}, b);
  net.floats("v", {5, 12}, v);
  net.floats("c", {5}, c);
  net.integers("flat", {0, -1});
  net.node("Conv", {"x", "w", "b"}, "1", "/body/body.0/Conv");
  net.node("Relu", {"1"}, "2", "/body/body.1/Relu");
  net.node("Reshape", {"2", "flat"}, "3", "/Reshape");
  OnnxModel::set(net.node("Gemm", {"3", "v", "c"}, "y", "/fc/Gemm"), "transB", int64_t{1});
  return net;
}

}  // namespace gsnet::test
#endif
