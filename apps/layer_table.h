// A model's layers as rows of a table.
#pragma once

#include <vector>

#include "certify/report.h"
#include "layers/graph.h"

namespace gsnet::apps {

/// Name, type, output shape, parameters, MACs and bound of every layer. A layer without a bound has an infinite one and
/// says why in `method`.
std::vector<LayerRow> layer_rows(const Graph& graph);

}  // namespace gsnet::apps
