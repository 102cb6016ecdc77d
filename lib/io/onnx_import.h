// Networks from ONNX files. Every byte is hostile.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "layers/model.h"

namespace gsnet::io {

struct OnnxImportOptions {
  /// Input normalisation, one for all channels or one a channel; empty: what the file's metadata says if we wrote it,
  /// else 0 and 1.
  std::vector<double> mean = {}, stddev = {};
  bool need_normalisation = false;            ///< throw Error where neither says
  std::optional<ChannelOrder> order = {};     ///< none: the metadata's, else rgb
  std::vector<std::string> class_names = {};  ///< empty: the metadata's, else none: the output is an embedding
  /// Of one sample, (C, H, W) or (C), where the file leaves extents open or says others.
  std::optional<Shape> input = {};
  std::string output = {};  ///< which output, where there are several
};

/// The file's function as a graph of layers, the batch free whatever the file says. Opsets 7 to 21; what is computed of
/// constants and shapes is folded. Layers are named by their node ("/layer1/layer1.0/conv1/Conv": "layer1.0.conv1"), by
/// their weight, or "<operator><index>". Weights may be f32, f16, bf16 or f64, in the file or beside it (external data
/// inside the file's folder). Throws Error naming the file and, all at once, every node that cannot be a layer, with
/// the reason; and for a file that is no ONNX model, cut short, cyclic, with more than 100,000 nodes, or with tensors
/// that do not fit their data. Nothing is allocated before its size is checked. In a build without ONNX it always
/// throws.
Model import_onnx(const std::filesystem::path& path, const OnnxImportOptions& options, Backend& backend);

/// Whether the file's name ends with ".onnx", or its first bytes are those of an ONNX model.
bool is_onnx_file(const std::filesystem::path& path);

}  // namespace gsnet::io
