// Networks as ONNX files, for every runtime that reads them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "layers/model.h"

namespace gsnet::io {

struct OnnxExportOptions {
  int64_t opset = 17;  ///< 13 … 21
  /// The file takes pixels 0 … 255 and its first operators normalise them; else it takes normalised inputs, as the
  /// graph does.
  bool with_normalisation = false;
  std::string input_name = "input", output_name = "output";
};

/// Writes what evaluation computes, from (N, C, H, W), N free, to the graph's output: parametrised weights as the
/// weights they make, exponentials as one matrix on small maps and as their series elsewhere, batch normalisation as
/// scale and shift. Operators are named "<layer>/<operator>", their weights "<layer>.weight" and "<layer>.bias"; mean,
/// stddev and class names go into the metadata ("gsnet.mean", "gsnet.stddev", "gsnet.classes", JSON texts;
/// "gsnet.order", bgr, where that is not rgb). Written atomically. Throws Error naming a layer that cannot be said in
/// plain operators, an opset that is not supported, a file above protobuf's 2 GiB, and in a build without ONNX.
void export_onnx(const std::filesystem::path& path, const Model& model, const OnnxExportOptions& options = {});

}  // namespace gsnet::io
