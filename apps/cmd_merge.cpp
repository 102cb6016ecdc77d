// gsnet merge
#include <fmt/format.h>

#include <cmath>

#include "apps/command.h"
#include "apps/options.h"
#include "apps/outputs.h"
#include "io/adapter_file.h"
#include "io/model_file.h"
#include "io/peft.h"

namespace gsnet::apps {

int merge_command(const std::vector<std::string>& arguments) {
  Options options("merge MODEL ADAPTER --out MODEL",
                  "Folds an adapter into its network: the result runs at the network's own cost and needs no adapter.");
  options.positional("MODEL", "the model file that the adapter was trained on")
      .positional("ADAPTER", "an adapter file, or a folder that PEFT wrote")
      .value("out", "the file to write: ONNX where the name ends in .onnx, else a model file")
      .value("strength", "how far to go from the base (0) to the adapter (1) and beyond, along geodesics", "1")
      .machine();
  if (!options.parse(arguments)) return 0;
  if (!options.given("out")) throw UsageError("merge needs --out MODEL");
  const double strength = parse_number(options.text("strength"));
  require_writable(options, {"out"}, {"MODEL", "ADAPTER"});
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  const std::string base = options.text("MODEL"), file = options.text("ADAPTER");
  Model model = io::load_model(base, *backend);
  const io::AdapterFile adapter = io::read_any_adapter(file, *model.graph);
  const std::string found = io::fingerprint(*model.graph, adapter.layers);
  if (!adapter.base.empty() && adapter.base != found) {
    fmt::print(stderr, "gsnet: note: {} was trained on other weights than {}'s\n", file, base);
  }
  GSNET_CHECK(strength == 1 || !adapter.layers.empty(),
              fmt::format("{}: --strength has no meaning: it holds whole layers, which are put in as they are, and "
                          "adapts none",
                          file));
  if (strength != 1 && !adapter.saved.tensors.empty()) {
    fmt::print(stderr, "gsnet: note: whole layers that {} holds are put in as they are, whatever the strength\n", file);
  }
  io::AdaptedModel adapted;
  try {
    adapted = io::adapted_model(std::move(model), adapter, "adapter");
    if (!adapter.layers.empty()) {
      adapted.bank->set_strength("adapter", strength);
      adapted.bank->merge();
    }
  } catch (const Error& error) {
    throw Error(fmt::format("{} does not go on {}: {}", file, base, error.what()));
  }
  adapted.model.info.provenance["adapter"] = file;
  write_network(options.text("out"), adapted.model);
  fmt::print("{} layers adapted: {}\n", adapter.layers.size(), options.text("out"));
  return 0;
}

}  // namespace gsnet::apps
