// A build without ONNX.
#include <fmt/format.h>

#include "core/error.h"
#include "io/onnx_export.h"
#include "io/onnx_import.h"

namespace gsnet::io {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path) {
  throw Error(
      fmt::format("'{}': this build reads and writes no ONNX files (it was made with GSNET_ONNX=OFF)", path.string()));
}

}  // namespace

void export_onnx(const std::filesystem::path& path, const Model&, const OnnxExportOptions&) { refuse(path); }

Model import_onnx(const std::filesystem::path& path, const OnnxImportOptions&, Backend&) { refuse(path); }

}  // namespace gsnet::io
