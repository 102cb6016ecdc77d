// gsnet inspect
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/layer_table.h"
#include "apps/options.h"
#include "io/model_file.h"

namespace gsnet::apps {
namespace {

void print_table(const Model& model, const std::vector<LayerRow>& rows) {
  size_t name = 5, type = 4, settings = 8, output = 6;
  for (const LayerRow& row : rows) {
    name = std::max(name, row.name.size());
    type = std::max(type, row.type.size());
    settings = std::max(settings, row.settings.size());
    output = std::max(output, row.output.size());
  }
  fmt::print("{:<{}}  {:<{}}  {:<{}}  {:<{}}  {:>10}  {:>8}  {:>12}  {}\n", "layer", name, "type", type, "settings",
             settings, "output", output, "parameters", "MMACs", "Lipschitz <=", "how");
  int64_t parameters = 0;
  double macs = 0;
  for (const LayerRow& row : rows) {
    fmt::print("{:<{}}  {:<{}}  {:<{}}  {:<{}}  {:>10}  {:>8.3f}  {:>12.9g}  {}\n", row.name, name, row.type, type,
               row.settings, settings, row.output, output, row.parameters, row.macs * 1e-6, row.bound, row.method);
    parameters += row.parameters;
    macs += row.macs;
  }
  fmt::print("input {}, {} classes, {} parameters, {:.1f} MMACs an image\n", to_string(model.graph->input()),
             model.info.class_names.size(), parameters, macs * 1e-6);
}

}  // namespace

int inspect_command(const std::vector<std::string>& arguments) {
  Options options("inspect MODEL [--json]",
                  "A table of the model's layers: output shape of one picture, stored numbers,\n"
                  "multiply-adds in evaluation, and a proven upper bound of the Lipschitz constant.");
  options.positional("MODEL", "a model file").flag("json", "as JSON").machine();
  if (!options.parse(arguments)) return 0;
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  const Model model = io::load_model(options.text("MODEL"), *backend);
  const std::vector<LayerRow> rows = layer_rows(*model.graph);
  double network = 0;
  std::string refused;
  try {
    network = model.graph->bounds().back().from_input.value();
  } catch (const Error& error) {
    refused = error.what();
  }
  if (options.has("json")) {
    nlohmann::ordered_json json;
    for (const LayerRow& row : rows) {
      json["layers"].push_back({{"name", row.name},
                                {"type", row.type},
                                {"settings", row.settings},
                                {"output", row.output},
                                {"parameters", row.parameters},
                                {"macs", row.macs},
                                {"bound", row.bound},
                                {"method", row.method}});
    }
    json["network_bound"] = refused.empty() ? nlohmann::ordered_json(network) : nlohmann::ordered_json(nullptr);
    json["classes"] = model.info.class_names;
    json["provenance"] = model.info.provenance;
    fmt::print("{}\n", json.dump(2));
    return 0;
  }
  print_table(model, rows);
  if (refused.empty()) {
    fmt::print("network: Lipschitz constant at most {:.9g} on normalised inputs\n", network);
  } else {
    fmt::print("network: no certificate; {}\n", refused);
  }
  for (const auto& [key, value] : model.info.provenance) fmt::print("{}: {}\n", key, value);
  return 0;
}

}  // namespace gsnet::apps
