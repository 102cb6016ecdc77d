#include "io/import_state.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "io/model_file.h"
#include "io/safetensors_header.h"
#include "layers/architectures.h"

namespace gsnet::io {
namespace {

constexpr size_t kMostListed = 12;

TensorFile under(const TensorFile& file, const std::string& prefix) {
  TensorFile part;
  for (const auto& [name, tensor] : file.tensors) {
    if (name.starts_with(prefix)) part.tensors.emplace_back(name.substr(prefix.size()), tensor);
  }
  return part;
}

/// "'a', 'b' … (20 in all)"
std::string listed(const std::vector<std::string>& names) {
  std::vector<std::string> some;
  for (size_t i = 0; i < std::min(names.size(), kMostListed); ++i) some.push_back(fmt::format("'{}'", shown(names[i])));
  const std::string text = fmt::format("{}", fmt::join(some, ", "));
  return names.size() > kMostListed ? fmt::format("{} … ({} in all)", text, names.size()) : text;
}

/// First parts of the tensors' names.
std::vector<std::string> beginnings(const TensorFile& file) {
  std::set<std::string> parts;
  for (const auto& [name, tensor] : file.tensors) parts.insert(name.substr(0, name.find('.') + 1));
  return {parts.begin(), parts.end()};
}

bool is_counter(std::string_view name) {
  return name == "num_batches_tracked" || name.ends_with(".num_batches_tracked");
}

Description described(const TensorFile& state, const StateImportOptions& options) {
  GSNET_CHECK(options.network.has_value() != !options.architecture.empty(),
              "needs either an architecture's name or a description");
  if (options.network) return *options.network;
  const Architecture& known = find_architecture(options.architecture);
  GSNET_CHECK(!known.head.empty(), fmt::format("architecture '{}' has no public state dict", known.name));
  const Tensor& head = state.at(std::string(known.head));
  GSNET_CHECK(head.shape().rank() >= 2,
              fmt::format("tensor '{}' has shape {}, expected two axes or more", known.head, to_string(head.shape())));
  return known.describe(known.name, {}, options.input.value_or(known.input), head.shape()[0]);
}

/// Throws Error unless both lists are empty.
void refuse(const std::vector<std::string>& missing, const std::vector<std::string>& unused) {
  if (missing.empty() && unused.empty()) return;
  const std::string first = missing.empty() ? "" : fmt::format(" missing {}", listed(missing));
  const std::string second = unused.empty() ? "" : fmt::format(" not used {}", listed(unused));
  throw Error(fmt::format("the tensors are not the network's:{}{}{}", first,
                          missing.empty() || unused.empty() ? "" : ";", second));
}

/// Before anything is built: layers with weights that have no tensor at all, and tensors of no layer.
void check_layers(const Description& description, const TensorFile& state) {
  std::unordered_set<std::string> layers, beginnings;
  std::vector<std::string> missing, unused;
  for (const NodeDescription& node : description.nodes) layers.insert(node.name);
  for (const auto& [name, tensor] : state.tensors) {
    bool used = false;
    for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
      used = used || layers.contains(name.substr(0, dot));
      beginnings.insert(name.substr(0, dot));
    }
    if (!used) unused.push_back(name);
  }
  for (const NodeDescription& node : description.nodes) {
    const bool weighted = node.attributes.find("channels") != nullptr || node.attributes.find("features") != nullptr;
    if (weighted && !beginnings.contains(node.name)) missing.push_back(node.name + ".weight");
  }
  refuse(missing, unused);
}

void check_names(Graph& graph, const TensorFile& state) {
  std::unordered_set<std::string> given, wanted;
  std::vector<std::string> missing, unused;
  for (const auto& [name, tensor] : state.tensors) given.insert(name);
  for (const NamedTensor& one : state_of(graph)) {
    wanted.insert(one.name);
    if (!given.contains(one.name)) missing.push_back(one.name);
  }
  for (const auto& [name, tensor] : state.tensors) {
    if (!wanted.contains(name)) unused.push_back(name);
  }
  refuse(missing, unused);
}

void check_variances(const TensorFile& state) {
  for (const auto& [name, tensor] : state.tensors) {
    if (!name.ends_with("running_var")) continue;
    const Tensor numbers = with_dtype(tensor, DType::f64);
    for (const double value : numbers.host<double>()) {
      GSNET_CHECK(value >= 0, fmt::format("tensor '{}' has a variance of {}", shown(name), value));
    }
  }
}

std::vector<double> a_channel(const std::vector<double>& values, const Shape& input) {
  const bool spread = values.size() == 1 && input.rank() > 0 && input[0] > 0;
  return spread ? std::vector<double>(static_cast<size_t>(input[0]), values[0]) : values;
}

Model imported(const TensorFile& file, const StateImportOptions& options, Backend& backend) {
  TensorFile state = sub_state(file, options.prefix);
  std::erase_if(state.tensors, [](const auto& named) { return is_counter(named.first); });
  Model model;
  model.info.description = described(state, options);
  check_layers(model.info.description, state);
  check_sizes(model.info.description, state);
  model.info.mean = a_channel(options.mean, model.info.description.input);
  model.info.stddev = a_channel(options.stddev, model.info.description.input);
  model.info.order = options.order;
  model.info.provenance = {{"source", "state dict of a network of plain layers"}};
  if (!options.architecture.empty()) model.info.provenance["architecture"] = options.architecture;
  model_metadata(model.info);  // checks the normalisation
  model.graph = std::make_unique<Graph>(model.info.description, backend, RandomKey(0));
  const int64_t outputs = model.graph->output()[0];
  model.info.class_names = options.class_names;
  const bool embeds = !options.architecture.empty() && find_architecture(options.architecture).embeds;
  if (options.class_names.empty() && !embeds) {
    for (int64_t i = 0; i < outputs; ++i) model.info.class_names.push_back(std::to_string(i));
  }
  const bool unnamed = embeds && model.info.class_names.empty();
  GSNET_CHECK(unnamed || std::cmp_equal(model.info.class_names.size(), outputs),
              fmt::format("there are {} class names for {} outputs", model.info.class_names.size(), outputs));
  check_names(*model.graph, state);
  check_variances(state);
  load_state(*model.graph, state);
  return model;
}

}  // namespace

TensorFile sub_state(const TensorFile& file, const std::string& prefix) {
  const std::string wrapper = "state_dict.";
  TensorFile part = under(file, prefix.empty() ? wrapper : prefix);
  if (part.tensors.empty()) part = under(file, prefix.empty() ? prefix : wrapper + prefix);
  GSNET_CHECK(!part.tensors.empty(), fmt::format("no tensor's name begins with '{}'; there are {}", shown(prefix),
                                                 file.tensors.empty() ? "no tensors" : listed(beginnings(file))));
  const std::string parallel = "module.";
  const auto has_it = [&](const auto& named) { return named.first.starts_with(parallel); };
  return std::ranges::all_of(part.tensors, has_it) ? under(part, parallel) : part;
}

Model import_state(const TensorFile& file, const StateImportOptions& options, Backend& backend) {
  try {
    return imported(file, options, backend);
  } catch (const Error& error) {
    throw Error(fmt::format("cannot import the state dict: {}", error.what()));
  }
}

}  // namespace gsnet::io
