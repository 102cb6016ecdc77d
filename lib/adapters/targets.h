// Which layers an adapter goes on.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "layers/graph.h"

namespace gsnet {

/// A pattern is a layer's name, the end of one after a dot ("conv1" for "layer2.0.conv1"), a name with * and ? for any
/// text and any letter, or a regular expression of the whole name after "re:".
struct Targets {
  std::vector<std::string> layers;  ///< empty: every layer that can take an adapter
  std::vector<std::string> exclude;
  /// Of these kinds only: "linear", "conv", "conv1x1" (… any "convHxW"), "depthwise" (one channel a group), "grouped".
  /// Empty: of any.
  std::vector<std::string> kinds;
};

/// Throws Error for a regular expression that is none.
bool matches(const std::string& pattern, const std::string& layer);

/// Layers with a weight_site() of their own, in order. Throws Error naming a pattern that fits no layer at all or none
/// that can take an adapter, and listing some that can; for a kind that is none.
std::vector<size_t> find_targets(const Graph& graph, const Targets& targets);

/// "conv3x3", "depthwise 3x3", "linear", … of a weight.
std::string kind_of(const Shape& weight, int64_t groups);

}  // namespace gsnet
