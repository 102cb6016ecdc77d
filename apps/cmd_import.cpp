// gsnet import
#include <fmt/format.h>

#include "apps/command.h"
#include "apps/options.h"
#include "io/import_gs.h"
#include "io/model_file.h"

namespace gsnet::apps {

int import_command(const std::vector<std::string>& arguments) {
  Options options(
      "import STATE.safetensors --out MODEL",
      "Makes a model file of a state dict of the Group-and-Shuffle paper's public code, saved as safetensors.\n"
      "Settings come from the file's metadata, or from the options, which win.");
  options.positional("STATE", "a state dict as safetensors")
      .value("out", "the model file to write")
      .value("conv-layer", "soc, permuted_soc, gs_soc, gs_soc_accelerated or lpr_soc")
      .value("groups", "4, or 4,1 for two exponentials")
      .value("activation", "minmax, minmax_permuted or maxmin")
      .value("paired", "true or false")
      .value("init-channels", "width of the first level")
      .value("block-size", "convolutions a level")
      .value("num-classes", "classes")
      .machine();
  if (!options.parse(arguments)) return 0;
  if (!options.given("out")) throw UsageError("import needs --out MODEL");
  io::GsImportOptions wanted;
  const auto text = [&](const char* name, std::optional<std::string>& to) {
    if (options.given(name)) to = options.text(name);
  };
  const auto number = [&](const char* name, std::optional<int64_t>& to) {
    if (options.given(name)) to = options.integer(name, 1, 1'000'000);
  };
  text("conv-layer", wanted.conv_layer);
  text("groups", wanted.groups);
  text("activation", wanted.activation);
  number("init-channels", wanted.init_channels);
  number("block-size", wanted.block_size);
  number("num-classes", wanted.num_classes);
  if (options.given("paired")) {
    const std::string value = options.text("paired");
    if (value != "true" && value != "false") throw UsageError("--paired must be true or false");
    wanted.paired = value == "true";
  }
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  const std::string file = options.text("STATE");
  const io::TensorFile state = io::read_safetensors(file);
  try {
    const Model model = io::import_gs(state, wanted, *backend);
    io::save_model(options.text("out"), model);
    fmt::print("{} layers, {} logits: {}\n", model.graph->nodes().size(), model.graph->output().numel(),
               options.text("out"));
  } catch (const UsageError&) {
    throw;
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", file, error.what()));
  }
  return 0;
}

}  // namespace gsnet::apps
