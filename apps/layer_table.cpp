#include "apps/layer_table.h"

#include <fmt/format.h>

#include <limits>

#include "core/error.h"

namespace gsnet::apps {

namespace {

/// What a reader wants to see of a layer's settings; its channels are in the output's shape.
std::string settings_text(const Attributes& attributes) {
  std::string text;
  for (const char* key : {"kernel", "stride", "groups", "groups2", "shuffle", "paired", "fit", "scale", "norm"}) {
    const AttributeValue* value = attributes.find(key);
    if (value == nullptr) continue;
    const auto* whole = std::get_if<int64_t>(value);
    if (whole != nullptr && (*whole == 0 || (*whole == 1 && std::string_view(key) != "kernel"))) continue;
    if (!text.empty()) text += ", ";
    if (const auto* flag = std::get_if<bool>(value)) text += fmt::format("{}{}", *flag ? "" : "not ", key);
    if (whole != nullptr) text += fmt::format("{} {}", key, *whole);
    if (const auto* number = std::get_if<double>(value)) text += fmt::format("{} {}", key, *number);
    if (const auto* word = std::get_if<std::string>(value)) text += fmt::format("{} {}", key, *word);
  }
  return text;
}

}  // namespace

std::vector<LayerRow> layer_rows(const Graph& graph) {
  std::vector<LayerRow> rows;
  for (const Graph::Node& node : graph.nodes()) {
    const std::vector<Shape> shapes = graph.input_shapes(node);
    const Cost cost = node.module->cost(shapes);
    LayerRow row{node.description.name,
                 node.description.type,
                 settings_text(node.description.attributes),
                 to_string(node.output),
                 cost.parameters,
                 cost.macs,
                 std::numeric_limits<double>::infinity(),
                 ""};
    try {
      const std::vector<UpperBound> ones(shapes.size(), UpperBound::proven(1));
      const LayerBound bound = node.module->bound(ones, shapes);
      row.bound = bound.value.value();
      row.method = bound.method;
    } catch (const Error& error) {
      row.method = error.what();
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace gsnet::apps
