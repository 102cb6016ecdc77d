#include "apps/adapt_network.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "layers/weight.h"

namespace gsnet::apps {
namespace {

bool numbered(const std::vector<std::string>& names) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] != std::to_string(i)) return false;
  }
  return true;
}

bool same_classes(const ModelInfo& base, const std::vector<std::string>& classes) {
  if (base.class_names.size() != classes.size()) return false;
  return base.class_names == classes || numbered(base.class_names) || numbered(classes);
}

/// The linear layer whose output is the network's, or a softmax's after it.
NodeDescription* linear_end(Description& network) {
  for (auto node = network.nodes.rbegin(); node != network.nodes.rend(); ++node) {
    if (node->type == "linear" || node->type == "orthogonal_linear") return &*node;
    if (node->type != "softmax") break;
  }
  return nullptr;
}

std::string free_name(const Description& network, std::string name) {
  while (std::ranges::find(network.nodes, name, &NodeDescription::name) != network.nodes.end()) name += "_";
  return name;
}

void set_head(AdaptedNetwork& made, const Graph& graph, HeadPolicy policy, const std::vector<std::string>& classes) {
  const bool same = same_classes(made.info, classes);
  NodeDescription* end = linear_end(made.info.description);
  const auto count = static_cast<int64_t>(classes.size());
  if (policy == HeadPolicy::automatic) {
    policy = same ? HeadPolicy::keep : end != nullptr ? HeadPolicy::replace : HeadPolicy::append;
  }
  if (policy == HeadPolicy::keep) {
    GSNET_CHECK(graph.output().numel() == count, fmt::format("the network tells {} classes apart, the data has {}: "
                                                             "[adapter] head = \"replace\"",
                                                             graph.output().numel(), count));
    if (end != nullptr) made.head = end->name;
    return;
  }
  made.changed = true;
  made.info.class_names = classes;
  std::vector<NodeDescription>& nodes = made.info.description.nodes;
  if (policy == HeadPolicy::replace) {
    GSNET_CHECK(end != nullptr, "the network does not end in a linear layer: [adapter] head = \"append\"");
    end->attributes.set("features", count);
    made.head = end->name;
  } else {
    if (graph.output().rank() == 3)
      nodes.push_back({free_name(made.info.description, "flatten_end"), "flatten", {}, {}});
    made.head = free_name(made.info.description, "head");
    nodes.push_back({made.head, "linear", {}, {{"features", count}}});
  }
  made.fresh.push_back(made.head);
}

bool takes_rotation(const Graph::Node& node) {
  const std::string& type = node.description.type;
  if (type == "skew_conv" || type == "group_shuffle_conv" || type == "orthogonal_linear") return true;
  const auto site = node.module->weight_site();
  return site && !site->weight->chain().empty();  // parametrised by itself
}

bool is_target(const Targets& targets, const std::string& layer) {
  const auto fits = [&](const std::string& pattern) { return matches(pattern, layer); };
  return (targets.layers.empty() || std::ranges::any_of(targets.layers, fits)) &&
         std::ranges::none_of(targets.exclude, fits);
}

/// A rotation before every target that is orthogonal or otherwise parametrised by itself.
void add_rotations(AdaptedNetwork& made, const Graph& graph, const AdaptRecipe& recipe) {
  std::vector<NodeDescription> nodes;
  std::string before = "input";
  for (NodeDescription& node : made.info.description.nodes) {
    const auto& known = graph.nodes();
    const auto found =
        std::ranges::find_if(known, [&](const Graph::Node& one) { return one.description.name == node.name; });
    const bool fresh = std::ranges::find(made.fresh, node.name) != made.fresh.end();
    if (found != known.end() && !fresh && takes_rotation(*found) && is_target(recipe.targets, node.name)) {
      const AdapterSpec spec = AdapterSpec::from(recipe.settings);
      GSNET_CHECK(
          spec.kind == AdapterKind::gsoft && spec.map == OrthogonalMap::cayley && !spec.scale,
          fmt::format("layer '{}' ({}) is orthogonal by construction: of adapters it takes gsoft with map cayley "
                      "and no scale, which leave it so",
                      node.name, node.type));
      const std::string source = node.inputs.empty() ? before : node.inputs.front();
      const int64_t channels = graph.input_shapes(*found)[0][0];
      if (channels > 3) {
        const std::string name = node.name + ".rotation";
        nodes.push_back({name, "gs_rotation", {source}, {{"block", spec.block}, {"factors", spec.factors}}});
        node.inputs = {name};
        made.rotations.push_back(name);
        made.fresh.push_back(name);
        made.changed = true;
      }
    }
    before = node.name;
    nodes.push_back(node);
  }
  made.info.description.nodes = std::move(nodes);
}

}  // namespace

AdaptedNetwork adapt_network(const ModelInfo& base, const Graph& graph, const AdaptRecipe& recipe,
                             const std::optional<std::vector<std::string>>& classes) {
  AdaptedNetwork made{base, false, {}, {}, {}};
  if (classes) set_head(made, graph, recipe.head, *classes);
  if (recipe.method != "full" && recipe.method != "head") add_rotations(made, graph, recipe);
  for (NodeDescription& node : made.info.description.nodes) {
    if (node.type != "batch_norm") continue;
    const std::string wanted = recipe.batch_norm == NormPolicy::batch ? "batch" : "frozen";
    if (node.attributes.text("statistics", "frozen") == wanted) continue;
    node.attributes.set("statistics", wanted);
    made.changed = true;
  }
  return made;
}

}  // namespace gsnet::apps
