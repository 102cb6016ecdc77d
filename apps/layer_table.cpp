#include "apps/layer_table.h"

#include <fmt/format.h>

#include <limits>

#include "core/error.h"

namespace gsnet::apps {

namespace {

std::string value_text(const AttributeValue& value) {
  if (const auto* word = std::get_if<std::string>(&value)) return *word;
  if (const auto* words = std::get_if<std::vector<std::string>>(&value))
    return fmt::format("{}", fmt::join(*words, " "));
  if (const auto* many = std::get_if<std::vector<int64_t>>(&value)) return fmt::format("{}", fmt::join(*many, " "));
  if (const auto* many = std::get_if<std::vector<double>>(&value)) return fmt::format("{}", fmt::join(*many, " "));
  if (const auto* whole = std::get_if<int64_t>(&value)) return std::to_string(*whole);
  return fmt::format("{}", std::get<double>(value));
}

/// What a layer without the setting does.
bool is_usual(const std::string& key, const AttributeValue& value) {
  const auto* whole = std::get_if<int64_t>(&value);
  if (whole == nullptr) return false;
  return (*whole == 0 && key == "padding") ||
         (*whole == 1 && (key == "stride" || key == "dilation" || key == "groups"));
}

/// A layer's settings as a reader wants them: its channels are in the output's shape.
std::string settings_text(const Attributes& attributes) {
  std::string text;
  for (const auto& [key, value] : attributes.entries()) {
    if (key == "channels" || key == "features" || is_usual(key, value)) continue;
    if (!text.empty()) text += ", ";
    const auto* flag = std::get_if<bool>(&value);
    text +=
        flag == nullptr ? fmt::format("{} {}", key, value_text(value)) : fmt::format("{}{}", *flag ? "" : "no ", key);
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
