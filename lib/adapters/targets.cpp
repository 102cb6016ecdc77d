#include "adapters/targets.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <regex>

#include "core/error.h"
#include "layers/weight.h"

namespace gsnet {
namespace {

bool fits_wildcards(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p, ++t;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool is_kind(const std::string& kind, const Shape& weight, int64_t groups) {
  const bool conv = weight.rank() == 4, depthwise = conv && groups > 1 && weight[1] == 1;
  if (kind == "linear") return !conv;
  if (kind == "conv") return conv;
  if (kind == "depthwise") return depthwise;
  if (kind == "grouped") return groups > 1;
  static const std::regex window("conv([0-9]{1,4})x([0-9]{1,4})");
  std::smatch found;
  GSNET_CHECK(std::regex_match(kind, found, window),
              fmt::format("'{}' is no kind of layer: linear, conv, conv1x1, conv3x3 …, depthwise or grouped", kind));
  return conv && weight[2] == std::stoll(found[1]) && weight[3] == std::stoll(found[2]);
}

bool any_matches(const std::vector<std::string>& patterns, const std::string& layer) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) { return matches(pattern, layer); });
}

struct Candidate {
  size_t node;
  std::string name;
};

std::string some_of(const std::vector<Candidate>& candidates) {
  constexpr size_t kMost = 8;
  std::vector<std::string> names;
  for (const Candidate& one : candidates) {
    if (names.size() < kMost) names.push_back(one.name);
  }
  return fmt::format("{}{}", fmt::join(names, ", "),
                     candidates.size() > kMost ? fmt::format(" … ({} in all)", candidates.size()) : "");
}

}  // namespace

bool matches(const std::string& pattern, const std::string& layer) {
  if (pattern.starts_with("re:")) {
    try {
      return std::regex_match(layer, std::regex(pattern.substr(3)));
    } catch (const std::regex_error& error) {
      throw Error(fmt::format("'{}' is no regular expression: {}", pattern, error.what()));
    }
  }
  if (pattern.find_first_of("*?") != std::string::npos) return fits_wildcards(pattern, layer);
  return layer == pattern || layer.ends_with("." + pattern);
}

std::string kind_of(const Shape& weight, int64_t groups) {
  if (weight.rank() != 4) return "linear";
  const std::string window = fmt::format("{}x{}", weight[2], weight[3]);
  if (groups > 1 && weight[1] == 1) return "depthwise " + window;
  return groups > 1 ? fmt::format("conv{}, {} groups", window, groups) : "conv" + window;
}

std::vector<size_t> find_targets(const Graph& graph, const Targets& targets) {
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Graph::Node& node = graph.nodes()[i];
    if (node.module->weight_site()) candidates.push_back({i, node.description.name});
  }
  GSNET_CHECK(!candidates.empty(),
              "the network has no layer that can take an adapter: no convolution, no linear layer");
  for (const std::vector<std::string>* patterns : {&targets.layers, &targets.exclude}) {
    for (const std::string& pattern : *patterns) {
      const auto fits = [&](const Candidate& one) { return matches(pattern, one.name); };
      GSNET_CHECK(
          std::ranges::any_of(candidates, fits),
          fmt::format("'{}' fits no layer that can take an adapter; there are {}", pattern, some_of(candidates)));
    }
  }
  std::vector<size_t> chosen;
  for (const Candidate& one : candidates) {
    const WeightSite site = *graph.nodes()[one.node].module->weight_site();
    const auto of_kind = [&](const std::string& kind) {
      return is_kind(kind, site.weight->stored.value.shape(), site.groups);
    };
    const bool named = targets.layers.empty() || any_matches(targets.layers, one.name);
    // All kinds are looked at, so that a wrong one is told.
    const bool kind = std::ranges::count_if(targets.kinds, of_kind) > 0 || targets.kinds.empty();
    if (named && kind && !any_matches(targets.exclude, one.name)) chosen.push_back(one.node);
  }
  GSNET_CHECK(!chosen.empty(), fmt::format("no layer is left to adapt; there are {}", some_of(candidates)));
  return chosen;
}

}  // namespace gsnet
