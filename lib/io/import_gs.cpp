#include "io/import_gs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include "core/error.h"
#include "io/model_file.h"
#include "io/safetensors_header.h"
#include "layers/lipconvnet.h"

namespace gsnet::io {
namespace {

constexpr int kLevels = 5;
constexpr int64_t kMostBlocks = 20;

/// One of the code's convolution layers: our variant, and how its parts are named in the state dict.
struct LayerKind {
  const char* name;
  const char* variant;
  const char* first;  ///< before the names of the k x k exponential's tensors
  bool second;        ///< a 1 x 1 exponential "soc2." follows
  bool shuffle1, shuffle2;
};

constexpr std::array<LayerKind, 5> kKinds = {{{"soc", "soc", "", false, false, false},
                                              {"permuted_soc", "permuted", "soc1.", false, true, false},
                                              {"gs_soc", "gs", "soc1.", true, true, false},
                                              {"gs_soc_accelerated", "gs", "soc1.", true, true, true},
                                              {"lpr_soc", "lpr", "soc1.", true, false, true}}};

struct Network {
  const LayerKind* kind = nullptr;
  int64_t width = 0, blocks = 0, classes = 0, groups = 0, groups2 = 0, terms = 12;
  std::string activation;
  bool paired = false;
};

std::optional<std::string> told(const std::optional<std::string>& option, const TensorFile& file, const char* key) {
  if (option) return option;
  const auto found = file.metadata.find(key);
  return found == file.metadata.end() ? std::nullopt : std::optional(found->second);
}

std::string required(const std::optional<std::string>& option, const TensorFile& file, const char* key) {
  std::optional<std::string> value = told(option, file, key);
  GSNET_CHECK(value.has_value(), fmt::format("'{}' must be told: neither an option nor the metadata says it", key));
  return *std::move(value);
}

/// The integers of "4", "(4, 1)", "4 1".
std::vector<int64_t> integers(const std::string& text, const char* key) {
  std::vector<int64_t> values;
  const char *at = text.data(), *end = at + text.size();
  while (at != end) {
    if (std::string_view("(), ").find(*at) != std::string_view::npos) {
      ++at;
      continue;
    }
    int64_t value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    GSNET_CHECK(error == std::errc() && value > 0,
                fmt::format("'{}' must be positive integers, got '{}'", key, shown(text)));
    values.push_back(value);
    at = next;
  }
  GSNET_CHECK(!values.empty(), fmt::format("'{}' must be positive integers, got '{}'", key, shown(text)));
  return values;
}

bool flag(const std::string& text, const char* key) {
  GSNET_CHECK(text == "True" || text == "true" || text == "False" || text == "false",
              fmt::format("'{}' must be True or False, got '{}'", key, shown(text)));
  return text[0] == 'T' || text[0] == 't';
}

std::string part(int level, int64_t block, const char* name) {
  return fmt::format("layer{}.{}.conv.{}", level, block, name);
}

/// Shape of the filter (g, m, m, k, k) under a prefix.
const Shape& filter_shape(const TensorFile& file, const std::string& prefix) {
  const Shape& shape = file.at(prefix + "random_conv_filter").shape();
  GSNET_CHECK(shape.rank() == 5 && shape[0] >= 1 && shape[1] == shape[2] && shape[3] == shape[4],
              fmt::format("tensor '{}random_conv_filter' has shape {}, expected (groups, m, m, k, k)", prefix,
                          to_string(shape)));
  return shape;
}

int64_t groups_of(const TensorFile& file, const std::string& prefix) { return filter_shape(file, prefix)[0]; }

/// Before anything is built: whether the largest filters are those of a network of this width.
void check_widths(const Network& net, const TensorFile& file) {
  const std::string level4 = part(4, net.blocks - 1, net.kind->first),
                    level5 = part(5, net.blocks - 1, net.kind->first);
  const std::array<std::pair<std::string, int64_t>, 3> expected = {
      {{level4, 32 * net.width}, {level5, 64 * net.width}, {"last_layer.", std::max(32 * net.width, net.classes)}}};
  for (const auto& [prefix, channels] : expected) {
    const Shape& shape = filter_shape(file, prefix);
    GSNET_CHECK(
        shape[0] * shape[1] == channels,
        fmt::format("tensor '{}random_conv_filter' has {} channels, expected {} for a network of width {} and {} "
                    "classes",
                    prefix, shape[0] * shape[1], channels, net.width, net.classes));
  }
}

void check_told(const std::optional<int64_t>& option, const TensorFile& file, const char* key, int64_t found) {
  std::optional<int64_t> value = option;
  if (const auto text = told(std::nullopt, file, key); !value && text) value = integers(*text, key).front();
  GSNET_CHECK(!value || *value == found,
              fmt::format("'{}' is told to be {}, but the tensors say {}", key, *value, found));
}

const LayerKind* kind_of(const GsImportOptions& options, const TensorFile& file) {
  const std::string name = required(options.conv_layer, file, "conv_layer");
  const auto* kind = std::ranges::find(kKinds, name, [](const LayerKind& one) { return std::string_view(one.name); });
  GSNET_CHECK(
      kind != kKinds.end(),
      fmt::format("'conv_layer' must be one of soc, permuted_soc, gs_soc, gs_soc_accelerated, lpr_soc, got '{}'",
                  shown(name)));
  return kind;
}

void check_groups(const Network& net, const GsImportOptions& options, const TensorFile& file) {
  const auto text = told(options.groups, file, "groups");
  if (!text) return;
  const std::vector<int64_t> groups = integers(*text, "groups");
  const bool second_fits =
      groups.size() == 1 || (groups.size() == 2 && (!net.kind->second || groups[1] == net.groups2));
  GSNET_CHECK(groups[0] == net.groups && second_fits,
              fmt::format("'groups' is told to be ({}), but the first layer's tensors say ({}, {})",
                          fmt::join(groups, ", "), net.groups, net.groups2));
}

Network network_of(const TensorFile& file, const GsImportOptions& options) {
  Network net;
  net.kind = kind_of(options, file);
  const std::string filter = fmt::format("{}random_conv_filter", net.kind->first);
  while (net.blocks <= kMostBlocks && file.find(part(1, net.blocks, filter.c_str())) != nullptr) ++net.blocks;
  GSNET_CHECK(net.blocks >= 1 && net.blocks <= kMostBlocks,
              fmt::format("expected 1 to {} tensors '{}', '{}' …, got {}", kMostBlocks, part(1, 0, filter.c_str()),
                          part(1, 1, filter.c_str()), net.blocks));
  const std::string bias = part(1, 0, net.kind->first) + "bias";
  net.width = file.at(bias).numel();
  GSNET_CHECK(net.blocks > 1 || net.width % 2 == 0, fmt::format("tensor '{}' has an odd length, {}", bias, net.width));
  if (net.blocks == 1) net.width /= 2;
  net.classes = file.at("last_layer.bias").numel();
  net.groups = groups_of(file, part(1, 0, net.kind->first));
  if (net.kind->second) net.groups2 = groups_of(file, part(1, 0, "soc2."));
  check_widths(net, file);
  check_told(options.init_channels, file, "init_channels", net.width);
  check_told(options.block_size, file, "block_size", net.blocks);
  check_told(options.num_classes, file, "num_classes", net.classes);
  check_groups(net, options, file);
  net.activation = required(options.activation, file, "activation");
  const bool shuffles = (net.kind->shuffle1 && net.groups > 1) || (net.kind->shuffle2 && net.groups2 > 1);
  if (options.paired) {
    net.paired = *options.paired;
  } else if (shuffles || file.metadata.contains("paired")) {
    net.paired = flag(required(std::nullopt, file, "paired"), "paired");
  }
  if (const auto terms = told(std::nullopt, file, "eval_terms")) net.terms = integers(*terms, "eval_terms").front();
  return net;
}

Description describe(const Network& net, const TensorFile& file) {
  GSNET_CHECK(
      net.activation == "minmax" || net.activation == "minmax_permuted" || net.activation == "maxmin",
      fmt::format("'activation' must be one of minmax, minmax_permuted, maxmin, got '{}'", shown(net.activation)));
  const auto text = [](const char* value) { return std::string(value); };
  Attributes settings = {{"depth", kLevels * net.blocks},
                         {"width", net.width},
                         {"variant", text(net.kind->variant)},
                         {"groups", net.groups},
                         {"groups2", net.groups2},
                         {"paired", net.paired},
                         {"activation", text(net.activation == "minmax_permuted" ? "maxmin" : "maxmin_halves")},
                         {"order", text(net.activation == "maxmin" ? "max_first" : "min_first")},
                         {"head", text("orthogonal")},
                         {"fit", text("head")},
                         {"scale", text("four_forms")},
                         {"train_series", text("taylor")},
                         {"train_degree", int64_t{5}},
                         {"eval_series", text("taylor")},
                         {"eval_degree", net.terms}};
  if (net.kind->second) settings.set("shuffle2", net.kind->shuffle2);
  Description description = lipconvnet(settings, {3, 32, 32}, net.classes);
  if (!net.kind->second) return description;
  for (int level = 1; level <= kLevels; ++level) {  // gs_soc with one number has other groups in every layer
    for (int64_t block = 0; block < net.blocks; ++block) {
      const auto node =
          std::ranges::find(description.nodes, fmt::format("level{}.conv{}", level, block), &NodeDescription::name);
      node->attributes.set("groups2", groups_of(file, part(level, block, "soc2.")));
    }
  }
  return description;
}

/// The state dict's name of a layer's tensor: "level1.conv0.conv1.kernel_u1" is "layer1.0.conv.soc1.u1".
std::string their_tensor(std::string_view tail) {
  if (tail == "kernel") return "random_conv_filter";
  constexpr std::string_view kKernel = "kernel_";
  return std::string(tail.starts_with(kKernel) ? tail.substr(kKernel.size()) : tail);
}

/// Names (ours, theirs) of the prefixes of all exponentials.
std::vector<std::pair<std::string, std::string>> prefixes(const Network& net) {
  std::vector<std::pair<std::string, std::string>> pairs = {{"head.", "last_layer."}};
  for (int level = 1; level <= kLevels; ++level) {
    for (int64_t block = 0; block < net.blocks; ++block) {
      const std::string ours = fmt::format("level{}.conv{}.", level, block);
      pairs.emplace_back(net.kind->second ? ours + "conv1." : ours, part(level, block, net.kind->first));
      if (net.kind->second) pairs.emplace_back(ours + "conv2.", part(level, block, "soc2."));
    }
  }
  return pairs;
}

/// The same numbers in our shape: groups and output channels are one axis of a kernel, all but the groups of a vector.
Tensor reshaped(const std::string& name, const Tensor& from, const Shape& wanted) {
  const Shape& shape = from.shape();
  bool fits = shape.numel() == wanted.numel() && shape.rank() >= 1;
  if (shape.rank() == 5 && wanted.rank() == 4) {  // kernel: (g, m, m, k, k) to (g m, m, k, k)
    fits = fits && shape[2] == wanted[1] && shape[3] == wanted[2] && shape[4] == wanted[3];
  } else {
    fits = fits && shape[0] == wanted[0] && (shape.rank() == 5) == (wanted.rank() == 2);
  }
  GSNET_CHECK(fits, fmt::format("tensor '{}' has shape {}, which does not fit {}", shown(name), to_string(shape),
                                to_string(wanted)));
  return from.view(wanted);
}

TensorFile translated(const TensorFile& file, const Network& net, Graph& graph) {
  const auto names = prefixes(net);
  TensorFile ours;
  std::vector<std::string> used = {"input", "logits"};
  for (const NamedTensor& wanted : state_of(graph)) {
    const auto prefix =
        std::ranges::find_if(names, [&](const auto& pair) { return wanted.name.starts_with(pair.first); });
    GSNET_CHECK(prefix != names.end(), fmt::format("our tensor '{}' has no counterpart", wanted.name));
    const std::string tail = their_tensor(std::string_view(wanted.name).substr(prefix->first.size()));
    if (tail == "steps") {
      ours.tensors.emplace_back(wanted.name, Tensor::of<int64_t>({1}, {0}));
      continue;
    }
    const std::string theirs = prefix->second + tail;
    ours.tensors.emplace_back(wanted.name, reshaped(theirs, file.at(theirs), wanted.tensor->shape()));
    used.push_back(theirs);
  }
  std::ranges::sort(used);
  for (const auto& [name, tensor] : file.tensors) {
    GSNET_CHECK(std::ranges::binary_search(used, name), fmt::format("tensor '{}' belongs to no layer", shown(name)));
  }
  return ours;
}

}  // namespace

Model import_gs(const TensorFile& file, const GsImportOptions& options, Backend& backend) {
  try {
    const Network net = network_of(file, options);
    Model model;
    model.info.description = describe(net, file);
    model.info.mean = {0.4914, 0.4822, 0.4465};
    model.info.stddev = {0.2507, 0.2507, 0.2507};
    model.info.provenance = {{"source", "state dict of the Group-and-Shuffle paper's code (arXiv 2406.10019)"},
                             {"conv_layer", net.kind->name}};
    model.graph = std::make_unique<Graph>(model.info.description, backend, RandomKey(0));
    load_state(*model.graph, translated(file, net, *model.graph));
    return model;
  } catch (const Error& error) {
    throw Error(fmt::format("cannot import a Group-and-Shuffle network: {}", error.what()));
  }
}

}  // namespace gsnet::io
