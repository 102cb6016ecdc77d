#include "io/adapter_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <unordered_set>

#include "core/error.h"
#include "io/json_text.h"
#include "io/model_file.h"
#include "io/safetensors_header.h"
#include "layers/weight.h"

namespace gsnet::io {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "1";
constexpr const char* kWhat = "'gsnet.adapter.config'";

Json to_json(const Attributes& attributes) {
  Json json = Json::object();
  for (const auto& [key, value] : attributes.entries()) {
    std::visit([&, &name = key](const auto& held) { json[name] = held; }, value);
  }
  return json;
}

Attributes to_attributes(const Json& json) {
  GSNET_CHECK(json.is_object(), fmt::format("{}: a layer's settings must be an object", kWhat));
  Attributes attributes;
  for (const auto& [key, value] : json.items()) {
    if (value.is_boolean()) {
      attributes.set(key, value.get<bool>());
    } else if (value.is_number_integer()) {
      attributes.set(key, value.get<int64_t>());
    } else if (value.is_number()) {
      attributes.set(key, value.get<double>());
    } else {
      GSNET_CHECK(value.is_string(),
                  fmt::format("{}: setting '{}' must be a flag, a number or a text", kWhat, shown(key)));
      attributes.set(key, value.get<std::string>());
    }
  }
  return attributes;
}

/// Layers that share their settings are listed together.
Json config_of(const AdapterFile& file) {
  Json groups = Json::array();
  for (const LayerAdapter& layer : file.layers) {
    const Json settings = to_json(layer.spec.attributes());
    const auto found = std::ranges::find_if(groups, [&](const Json& group) { return group["settings"] == settings; });
    if (found == groups.end()) {
      groups.push_back({{"settings", settings}, {"layers", Json::array({layer.layer})}});
    } else {
      (*found)["layers"].push_back(layer.layer);
    }
  }
  return {{"adapters", std::move(groups)}, {"base", file.base}, {"provenance", file.provenance}};
}

const Json& member(const Json& object, const char* key, Json::value_t type) {
  const auto found = object.find(key);
  GSNET_CHECK(found != object.end() && found->type() == type,
              fmt::format("{} needs '{}', {}", kWhat, key, Json(type).type_name()));
  return *found;
}

void read_config(const std::string& text, AdapterFile& file) {
  const Json json = parse_json(text, kWhat);
  GSNET_CHECK(json.is_object(), fmt::format("{} must be an object", kWhat));
  std::unordered_set<std::string> seen;
  for (const Json& group : member(json, "adapters", Json::value_t::array)) {
    GSNET_CHECK(group.is_object(), fmt::format("{}: 'adapters' must hold objects", kWhat));
    const AdapterSpec spec = AdapterSpec::from(to_attributes(member(group, "settings", Json::value_t::object)));
    for (const Json& layer : member(group, "layers", Json::value_t::array)) {
      GSNET_CHECK(layer.is_string(), fmt::format("{}: 'layers' must be names", kWhat));
      const auto name = layer.get<std::string>();
      GSNET_CHECK(seen.insert(name).second, fmt::format("{}: layer '{}' comes twice", kWhat, shown(name)));
      file.layers.push_back({name, spec});
    }
  }
  file.base = member(json, "base", Json::value_t::string).get<std::string>();
  for (const auto& [key, value] : member(json, "provenance", Json::value_t::object).items()) {
    GSNET_CHECK(value.is_string(), fmt::format("{}: 'provenance' must hold texts", kWhat));
    file.provenance[key] = value.get<std::string>();
  }
}

/// The part of a file under a prefix, without it.
TensorFile under(const TensorFile& file, const std::string& prefix) {
  TensorFile part;
  for (const auto& [name, tensor] : file.tensors) {
    if (name.starts_with(prefix)) part.tensors.emplace_back(name.substr(prefix.size()), tensor);
  }
  return part;
}

/// State that the saved tensors name. Throws Error for one that the network has not.
std::vector<NamedTensor> saved_state(Graph& graph, const TensorFile& saved) {
  std::vector<NamedTensor> wanted;
  for (const NamedTensor& one : state_of(graph)) {
    if (saved.find(one.name) != nullptr) wanted.push_back(one);
  }
  refuse_others(wanted, saved, "");
  return wanted;
}

/// Whether a tensor of a layer belongs to an adapter on its weight.
bool is_adapters(const Graph::Node& node, const NamedTensor& tensor) {
  const auto site = node.module->weight_site();
  if (!site) return false;
  const auto links = state_of([&](Visitor& visitor) {
    for (const auto& link : site->weight->chain()) link->visit("", visitor);
  });
  return std::ranges::any_of(links, [&](const NamedTensor& one) { return one.tensor == tensor.tensor; });
}

std::vector<NamedTensor> tensors_of(const AdapterBank& bank, const std::string& name) {
  std::vector<NamedTensor> all;
  for (const NamedParameter& named : bank.parameters(name)) all.push_back({named.name, &named.parameter->value});
  return all;
}

constexpr uint64_t kHashBegin = 0xcbf29ce484222325U;

/// FNV-1a, a word at a time, of the numbers in f32.
uint64_t hashed(uint64_t hash, const Tensor& host) {
  const Tensor numbers = with_dtype(host, DType::f32);
  for (const float value : numbers.host<float>()) hash = (hash ^ std::bit_cast<uint32_t>(value)) * 0x100000001b3U;
  return hash;
}

}  // namespace

std::string fingerprint(Graph& graph) {
  uint64_t hash = kHashBegin;
  for (const NamedTensor& named : state_of(graph)) hash = hashed(hash, graph.backend().download(*named.tensor));
  return fmt::format("{:016x}", hash);
}

std::string fingerprint(Graph& graph, const std::vector<LayerAdapter>& layers) {
  uint64_t hash = kHashBegin;
  for (const Graph::Node& node : graph.nodes()) {
    const auto site = node.module->weight_site();
    const auto is_adapted = [&](const LayerAdapter& one) { return one.layer == node.description.name; };
    if (!site || std::ranges::none_of(layers, is_adapted)) continue;
    hash = hashed(hash, graph.backend().download(site->weight->stored.value));
  }
  return fmt::format("{:016x}", hash);
}

AdapterFile adapter_of(Graph& graph, const AdapterBank& bank, const std::string& name,
                       const std::vector<std::string>& saved) {
  AdapterFile file;
  file.layers = bank.layers(name);
  file.base = fingerprint(graph, file.layers);
  store_tensors(tensors_of(bank, name), file.tensors, "", false, graph.backend());
  store_saved(graph, saved, file);
  return file;
}

void store_saved(Graph& graph, const std::vector<std::string>& patterns, AdapterFile& file) {
  for (const Graph::Node& node : graph.nodes()) {
    const std::string& layer = node.description.name;
    if (std::ranges::none_of(patterns, [&](const std::string& one) { return matches(one, layer); })) continue;
    std::vector<NamedTensor> own = state_of([&](Visitor& visitor) { node.module->visit(layer, visitor); });
    std::erase_if(own, [&](const NamedTensor& one) { return is_adapters(node, one); });
    store_tensors(own, file.saved, "", false, graph.backend());
  }
}

void write_adapter(const std::filesystem::path& path, const AdapterFile& file) {
  TensorFile whole;
  try {
    if (file.network) whole.metadata = model_metadata(*file.network);
    whole.metadata["gsnet.adapter"] = kFormat;
    whole.metadata["gsnet.adapter.config"] = dump_json(config_of(file), kWhat);
  } catch (const Error& error) {
    throw Error(fmt::format("cannot write '{}': {}", path.string(), error.what()));
  }
  for (const auto& [name, tensor] : file.tensors.tensors) whole.tensors.emplace_back("adapter." + name, tensor);
  for (const auto& [name, tensor] : file.saved.tensors) whole.tensors.emplace_back("saved." + name, tensor);
  write_safetensors(path, whole);
}

AdapterFile read_adapter(const std::filesystem::path& path) {
  const TensorFile whole = read_safetensors(path);
  try {
    const auto& metadata = whole.metadata;
    GSNET_CHECK(metadata.contains("gsnet.adapter"), "the metadata has no 'gsnet.adapter'");
    const std::string& format = metadata.at("gsnet.adapter");
    GSNET_CHECK(format == kFormat, fmt::format("it has adapter format '{}', expected '{}'", shown(format), kFormat));
    GSNET_CHECK(metadata.contains("gsnet.adapter.config"), fmt::format("the metadata has no {}", kWhat));
    AdapterFile file;
    read_config(metadata.at("gsnet.adapter.config"), file);
    if (metadata.contains("gsnet.format")) file.network = model_info(metadata);
    file.tensors = under(whole, "adapter.");
    file.saved = under(whole, "saved.");
    GSNET_CHECK(file.tensors.tensors.size() + file.saved.tensors.size() == whole.tensors.size(),
                "a tensor's name begins neither with 'adapter.' nor with 'saved.'");
    return file;
  } catch (const Error& error) {
    throw Error(fmt::format("'{}' cannot be read as an adapter: {}", path.string(), error.what()));
  }
}

AdaptedModel adaptable(Model base, const std::optional<ModelInfo>& network, const TensorFile& saved,
                       const std::vector<std::string>& fresh, RandomKey key) {
  AdaptedModel adapted;
  if (network) {
    Backend& backend = base.graph->backend();
    TensorFile state;
    store_state(*base.graph, state, "", true);
    TensorFile known_sizes = state;
    known_sizes.tensors.insert(known_sizes.tensors.end(), saved.tensors.begin(), saved.tensors.end());
    if (fresh.empty()) check_sizes(network->description, known_sizes);  // else the description is the caller's own
    adapted.model.info = *network;
    adapted.model.graph = std::make_unique<Graph>(network->description, backend, key);
    std::vector<NamedTensor> from_base;
    for (const NamedTensor& one : state_of(*adapted.model.graph)) {
      const auto is_of = [&](const std::string& layer) { return one.name.starts_with(layer + "."); };
      if (saved.find(one.name) != nullptr || std::ranges::any_of(fresh, is_of)) continue;
      const Tensor* known = state.find(one.name);
      GSNET_CHECK(known != nullptr && known->shape() == one.tensor->shape(),
                  fmt::format("the adapted network's '{}' {} is neither the base's nor saved with the adapter",
                              shown(one.name), to_string(one.tensor->shape())));
      from_base.push_back(one);
    }
    load_tensors(from_base, state, "", backend);
    state_changed(*adapted.model.graph);
  } else {
    adapted.model = std::move(base);
  }
  adapted.bank = std::make_unique<AdapterBank>(*adapted.model.graph);
  return adapted;
}

AdaptedModel adapted_model(Model base, const AdapterFile& file, const std::string& name) {
  AdaptedModel adapted = adaptable(std::move(base), file.network, file.saved);
  put_adapter(file, adapted, name);
  return adapted;
}

void put_adapter(const AdapterFile& file, AdaptedModel& adapted, const std::string& name) {
  Graph& graph = *adapted.model.graph;
  AdapterBank& bank = *adapted.bank;
  std::vector<NamedTensor> wanted = saved_state(graph, file.saved);
  if (!file.layers.empty()) bank.attach(name, file.layers, RandomKey(0));
  try {
    const std::vector<NamedTensor> own = file.layers.empty() ? std::vector<NamedTensor>() : tensors_of(bank, name);
    refuse_others(own, file.tensors, "");
    wanted.insert(wanted.end(), own.begin(), own.end());
    TensorFile both = file.tensors;
    both.tensors.insert(both.tensors.end(), file.saved.tensors.begin(), file.saved.tensors.end());
    load_tensors(wanted, both, "", graph.backend());
  } catch (const Error&) {
    if (!file.layers.empty()) bank.remove(name);
    throw;
  }
  state_changed(graph);
}

}  // namespace gsnet::io
