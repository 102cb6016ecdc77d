#include "apps/layer_table.h"

#include <limits>

#include "core/error.h"

namespace gsnet::apps {

std::vector<LayerRow> layer_rows(const Graph& graph) {
  std::vector<LayerRow> rows;
  for (const Graph::Node& node : graph.nodes()) {
    const std::vector<Shape> shapes = graph.input_shapes(node);
    const Cost cost = node.module->cost(shapes);
    LayerRow row{node.description.name,
                 node.description.type,
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
