// gsnet export
#include <fmt/format.h>

#include <filesystem>

#include "apps/command.h"
#include "apps/options.h"
#include "apps/outputs.h"
#include "io/model_file.h"
#include "io/onnx_export.h"

namespace gsnet::apps {

int export_command(const std::vector<std::string>& arguments) {
  Options options("export MODEL --onnx FILE",
                  "Writes the network, in evaluation form, as an ONNX file with a free batch axis. It takes what the\n"
                  "network takes, normalised pictures (N, C, H, W); with --pixels, pixels 0 ... 255.");
  options.positional("MODEL", "a model file")
      .value("onnx", "the ONNX file to write")
      .value("opset", "version of the operators, 13 ... 21", "17")
      .flag("pixels", "the file normalises by itself")
      .value("input-name", "what the file calls its input", "input")
      .value("output-name", "what the file calls its output", "output")
      .machine();
  if (!options.parse(arguments)) return 0;
  if (!options.given("onnx")) throw UsageError("export needs --onnx FILE");
  require_writable(options, {"onnx"}, {"MODEL"});
  io::OnnxExportOptions wanted;
  wanted.opset = options.integer("opset", 13, 21);
  wanted.with_normalisation = options.has("pixels");
  wanted.input_name = options.text("input-name");
  wanted.output_name = options.text("output-name");
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  const Model model = io::load_model(options.text("MODEL"), *backend);
  const std::string file = options.text("onnx");
  io::export_onnx(file, model, wanted);
  fmt::print("{} layers, opset {}, {} bytes: {}\n", model.graph->nodes().size(), wanted.opset,
             std::filesystem::file_size(file), file);
  return 0;
}

}  // namespace gsnet::apps
