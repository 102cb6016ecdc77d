// ONNX files as protobuf messages, and their tensors as ours.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/tensor.h"
#include "io/file.h"

namespace gsnet::io {

/// Parses a file of at most 2 GiB. Before that its messages are counted, so that a small file cannot become a large
/// graph. Throws Error, without the file's name, for one that is cut short or no model, nests too deep, holds more
/// than 100,000 nodes or tensors or a million attributes, or has no graph.
onnx::ModelProto parse_onnx(const InputFile& file);

/// The version of the standard operators. Throws Error unless it is 7 … 21.
int64_t opset_of(const onnx::ModelProto& model);

/// A tensor on the host, row-major: f16, bf16 and f32 as f32, f64 as f64, flags and integers as i64. External data must
/// lie in a file of `folder` or below. Throws Error, naming the tensor, for extents that are negative or too many, data
/// that do not fit them, other element types, and data outside the folder or the file.
Tensor tensor_of(const onnx::TensorProto& proto, const std::filesystem::path& folder);

}  // namespace gsnet::io
