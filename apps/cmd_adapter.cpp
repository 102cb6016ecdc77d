// gsnet adapter
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "adapters/convert.h"
#include "apps/command.h"
#include "apps/options.h"
#include "apps/outputs.h"
#include "io/adapter_file.h"
#include "io/model_file.h"
#include "io/peft.h"

namespace gsnet::apps {
namespace {

constexpr const char* kUsage =
    "usage: gsnet adapter show FILE\n"
    "       gsnet adapter import MODEL PEFT_DIR --out ADAPTER\n"
    "       gsnet adapter export MODEL ADAPTER --peft DIR [--as oft | --as lora:RANK]\n"
    "\n"
    "Adapter files: what one holds (show), one made of a folder that PEFT saved (import), a folder that PEFT loads\n"
    "(export; kinds that PEFT lacks are said as another: --as). gsnet adapter VERB --help says more; docs/adapters.md\n"
    "tells where PEFT and gsnet differ. gsnet adapt trains adapters, gsnet merge folds them into a network.\n";

std::string settings_text(const AdapterSpec& spec) {
  std::vector<std::string> parts;
  const Attributes attributes = spec.attributes();
  for (const auto& [key, value] : attributes.entries()) {
    const auto add = [&, &name = key](const auto& held) {
      using Held = std::decay_t<decltype(held)>;
      if constexpr (std::is_same_v<Held, std::string>) {
        parts.push_back(name == "kind" ? held : fmt::format("{} {}", name, held));
      } else if constexpr (std::is_arithmetic_v<Held>) {
        parts.push_back(fmt::format("{} {}", name, held));
      }
    };
    std::visit(add, value);
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

int64_t numbers_of(const io::TensorFile& tensors, const std::string& layer) {
  int64_t count = 0;
  for (const auto& [name, tensor] : tensors.tensors) {
    if (!name.starts_with(layer + ".")) continue;
    const std::string rest = name.substr(layer.size() + 1);  // of a layer inside it: "conv.in.0"
    const bool own = rest.starts_with("in.") || rest.starts_with("out.") || rest.find('.') == std::string::npos;
    count += own ? tensor.numel() : 0;
  }
  return count;
}

int show(const std::vector<std::string>& arguments) {
  Options options("adapter show FILE",
                  "What an adapter file holds: layers by their settings, whole layers saved with\n"
                  "it, what it was trained on.");
  options.positional("FILE", "an adapter file");
  if (!options.parse(arguments)) return 0;
  const std::string path = options.text("FILE");
  if (io::is_peft_folder(path)) {
    throw Error(fmt::format("'{}' is a PEFT folder: gsnet adapter import MODEL {} --out FILE reads it", path, path));
  }
  const io::AdapterFile file = io::read_adapter(path);
  std::vector<std::pair<std::string, std::vector<std::string>>> groups;
  for (const LayerAdapter& layer : file.layers) {
    const std::string settings = settings_text(layer.spec);
    auto group = std::ranges::find(groups, settings, &std::pair<std::string, std::vector<std::string>>::first);
    if (group == groups.end()) group = groups.insert(group, {settings, {}});
    group->second.push_back(layer.layer);
  }
  for (const auto& [settings, layers] : groups) {
    fmt::print("{}\n", settings);
    for (const std::string& layer : layers) fmt::print("  {:<40} {:>10}\n", layer, numbers_of(file.tensors, layer));
  }
  for (const auto& [name, tensor] : file.saved.tensors) fmt::print("saved {} {}\n", name, to_string(tensor.shape()));
  if (file.network)
    fmt::print("for another network than the base: {} layers\n", file.network->description.nodes.size());
  fmt::print("base {}\n", file.base.empty() ? "not known" : file.base);
  for (const auto& [key, value] : file.provenance) fmt::print("{}: {}\n", key, value);
  return 0;
}

int import_peft(const std::vector<std::string>& arguments) {
  Options options("adapter import MODEL PEFT_DIR --out ADAPTER",
                  "Makes an adapter file of a folder that PEFT wrote (LoRA, DoRA, OFT, BOFT) for the\n"
                  "model's network. docs/adapters.md says what is read, and where PEFT differs.");
  options.positional("MODEL", "the model that it adapts")
      .positional("PEFT_DIR", "adapter_config.json and adapter_model.safetensors")
      .value("out", "the adapter file to write")
      .machine();
  if (!options.parse(arguments)) return 0;
  if (!options.given("out")) throw UsageError("adapter import needs --out ADAPTER");
  require_writable(options, {"out"}, {"MODEL", "PEFT_DIR"});
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  Model model = io::load_model(options.text("MODEL"), *backend);
  io::AdapterFile file = io::read_peft(options.text("PEFT_DIR"), *model.graph);
  file.base = io::fingerprint(*model.graph, file.layers);
  io::AdaptedModel adapted = io::adaptable(std::move(model), std::nullopt, file.saved);
  io::put_adapter(file, adapted, "imported");
  io::write_adapter(options.text("out"), file);
  fmt::print("{} layers, {} saved tensors: {}\n", file.layers.size(), file.saved.tensors.size(), options.text("out"));
  return 0;
}

/// What --as says: the rank of a LoRA, or 0 for one block.
int64_t wanted_rank(const std::string& text) {
  const std::string beginning = "lora:";
  if (text == "oft") return 0;
  const std::string digits = text.starts_with(beginning) ? text.substr(beginning.size()) : "";
  const bool number = !digits.empty() && digits.size() <= 5 &&
                      std::ranges::all_of(digits, [](char digit) { return digit >= '0' && digit <= '9'; });
  if (!number || std::stoll(digits) < 1) throw UsageError(fmt::format("--as must be oft or lora:RANK, got '{}'", text));
  return std::stoll(digits);
}

/// The adapter as another kind, layer by layer. What a LoRA leaves out is printed.
io::AdapterFile converted(const io::AdapterFile& file, io::AdaptedModel& adapted, int64_t rank) {
  Graph& graph = *adapted.model.graph;
  io::put_adapter(file, adapted, "exported");
  io::AdapterFile made = file;
  made.layers.clear();
  made.tensors = {};
  for (const auto& link : adapted.bank->links("exported")) {
    const auto node = std::ranges::find_if(
        graph.nodes(), [&](const Graph::Node& one) { return one.description.name == link->site().layer; });
    const Tensor base = graph.backend().download(node->module->weight_site()->weight->stored.value);
    const ConvertedLayer layer =
        rank == 0 ? as_one_block(*link, graph.backend()) : as_low_rank(*link, base, graph.backend(), rank);
    made.layers.push_back(layer.adapter);
    for (const auto& [name, tensor] : layer.tensors) {
      made.tensors.tensors.emplace_back(link->site().layer + "." + name, tensor);
    }
    if (rank > 0) {
      fmt::print("{:<40} rank {:>3}, {:.2e} of the change left out\n", layer.adapter.layer, layer.adapter.spec.rank,
                 layer.relative_error);
    }
  }
  return made;
}

int export_peft(const std::vector<std::string>& arguments) {
  Options options("adapter export MODEL ADAPTER --peft DIR [--as oft | --as lora:RANK]",
                  "Writes an adapter as a folder that PEFT loads. LoRA, DoRA, OFT and BOFT are written as\n"
                  "they are. --as oft turns any rotation of the inputs into one block a layer, exactly;\n"
                  "--as lora:RANK any adapter into a LoRA, which says what it leaves out.");
  options.positional("MODEL", "the model that it adapts")
      .positional("ADAPTER", "an adapter file, or a folder that PEFT wrote")
      .value("peft", "the folder to write")
      .value("as", "oft or lora:RANK")
      .machine();
  if (!options.parse(arguments)) return 0;
  if (!options.given("peft")) throw UsageError("adapter export needs --peft DIR");
  if (same_file(options.text("peft"), options.text("ADAPTER"))) {
    throw UsageError(fmt::format("--peft {}: that is ADAPTER too", options.text("peft")));
  }
  const int64_t rank = options.given("as") ? wanted_rank(options.text("as")) : -1;
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  Model model = io::load_model(options.text("MODEL"), *backend);
  const std::string path = options.text("ADAPTER");
  io::AdapterFile file = io::read_any_adapter(path, *model.graph);
  io::AdaptedModel adapted = io::adaptable(std::move(model), file.network, file.saved);
  Graph& graph = *adapted.model.graph;
  if (!file.base.empty() && io::fingerprint(graph, file.layers) != file.base) {
    fmt::print(stderr, "gsnet: note: '{}' was trained on other weights than the model's\n", path);
  }
  if (rank >= 0) file = converted(file, adapted, rank);
  io::write_peft(options.text("peft"), file, graph);
  fmt::print("{} layers: {}\n", file.layers.size(), options.text("peft"));
  return 0;
}

}  // namespace

int adapter_command(const std::vector<std::string>& arguments) {
  const std::string verb = arguments.empty() ? "" : arguments[0];
  const std::vector<std::string> rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  if (verb == "show") return show(rest);
  if (verb == "import") return import_peft(rest);
  if (verb == "export") return export_peft(rest);
  if (verb == "--help" || verb == "-h") {
    fmt::print("{}", kUsage);
    return 0;
  }
  throw UsageError("adapter needs show, import or export; gsnet adapter --help");
}

}  // namespace gsnet::apps
