#include "adapters/bank.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace gsnet {
namespace {

AdapterSite site_of(const Graph::Node& node) {
  const WeightSite site = *node.module->weight_site();
  return {node.description.name, site.weight->stored.value.shape(), site.groups};
}

AdapterSpec overridden(const AdapterSpec& spec, const std::string& layer, const AdapterBank::Overrides& overrides) {
  Attributes attributes = spec.attributes();
  for (const auto& [pattern, settings] : overrides) {
    if (!matches(pattern, layer)) continue;
    for (const auto& [key, value] : settings.entries()) attributes.set(key, value);
  }
  return AdapterSpec::from(attributes);
}

}  // namespace

std::vector<AdapterBank::Row> AdapterBank::attach(const std::string& name, const AdapterSpec& spec,
                                                  const Targets& targets, RandomKey key, const Overrides& overrides) {
  const std::vector<size_t> chosen = find_targets(graph_, targets);
  for (const auto& [pattern, settings] : overrides) {
    const auto fits = [&, &wanted = pattern](size_t node) {
      return matches(wanted, graph_.nodes()[node].description.name);
    };
    GSNET_CHECK(std::ranges::any_of(chosen, fits), fmt::format("'{}' fits no layer that is adapted", pattern));
  }
  std::vector<Row> rows;
  std::vector<LayerAdapter> wanted;
  for (const size_t node : chosen) {
    const AdapterSite site = site_of(graph_.nodes()[node]);
    const AdapterSpec own = overridden(spec, site.layer, overrides);
    Row row{site.layer, kind_of(site.weight, site.groups), {}, {}};
    try {
      const Tensor& base = graph_.nodes()[node].module->weight_site()->weight->stored.value;
      row.report = make_link(graph_.backend(), name, own, site, base, key)->report();
      wanted.push_back({site.layer, own});
    } catch (const Error& error) {
      row.skipped = error.what();
    }
    rows.push_back(std::move(row));
  }
  GSNET_CHECK(!wanted.empty(), fmt::format("adapter '{}' goes on no layer: {}", name, rows.front().skipped));
  attach(name, wanted, key);
  return rows;
}

void AdapterBank::attach(const std::string& name, const std::vector<LayerAdapter>& layers, RandomKey key) {
  check_unmerged("attach another");
  GSNET_CHECK(!name.empty() && name.find('.') == std::string::npos,
              fmt::format("'{}' is no name for an adapter: it needs letters and no dots", name));
  const auto taken = std::ranges::find(adapters_, name, &std::pair<std::string, std::vector<Entry>>::first);
  GSNET_CHECK(taken == adapters_.end(), fmt::format("there is an adapter '{}' already", name));
  GSNET_CHECK(!layers.empty(), fmt::format("adapter '{}' goes on no layer", name));
  std::vector<Entry> entries;
  for (const LayerAdapter& wanted : layers) {
    const auto& nodes = graph_.nodes();
    const auto found =
        std::ranges::find_if(nodes, [&](const Graph::Node& node) { return node.description.name == wanted.layer; });
    GSNET_CHECK(found != nodes.end(),
                fmt::format("adapter '{}' is for a network with a layer '{}': this one has none", name, wanted.layer));
    GSNET_CHECK(found->module->weight_site().has_value(),
                fmt::format("layer '{}' ({}) cannot take an adapter", wanted.layer, found->description.type));
    const auto node = static_cast<size_t>(found - nodes.begin());
    const Tensor& base = found->module->weight_site()->weight->stored.value;
    entries.push_back({node, make_link(graph_.backend(), name, wanted.spec, site_of(*found), base, key.with(node))});
  }
  for (const Entry& entry : entries) weight_of(entry).push(entry.link);
  adapters_.emplace_back(name, std::move(entries));
}

const std::vector<AdapterBank::Entry>& AdapterBank::at(const std::string& name) const {
  const auto found = std::ranges::find(adapters_, name, &std::pair<std::string, std::vector<Entry>>::first);
  GSNET_CHECK(found != adapters_.end(), fmt::format("there is no adapter '{}'", name));
  return found->second;
}

Weight& AdapterBank::weight_of(const Entry& entry) const {
  return *graph_.nodes()[entry.node].module->weight_site()->weight;
}

void AdapterBank::check_unmerged(const char* what) const {
  GSNET_CHECK(!merged(), fmt::format("adapters are merged: unmerge before you {}", what));
}

std::vector<std::string> AdapterBank::names() const {
  std::vector<std::string> all;
  for (const auto& [name, entries] : adapters_) all.push_back(name);
  return all;
}

std::vector<LayerAdapter> AdapterBank::layers(const std::string& name) const {
  std::vector<LayerAdapter> all;
  for (const Entry& entry : at(name)) all.push_back({entry.link->site().layer, entry.link->spec()});
  return all;
}

std::vector<AdapterBank::Row> AdapterBank::rows(const std::string& name) const {
  std::vector<Row> all;
  for (const Entry& entry : at(name)) {
    const AdapterSite& site = entry.link->site();
    all.push_back({site.layer, kind_of(site.weight, site.groups), entry.link->report(), {}});
  }
  return all;
}

std::vector<NamedParameter> AdapterBank::parameters(const std::string& name) const {
  std::vector<NamedParameter> all;
  for (const Entry& entry : at(name)) {
    for (const auto& [tensor, parameter] : entry.link->parameters()) {
      all.push_back({entry.link->site().layer + "." + tensor, parameter});
    }
  }
  return all;
}

std::vector<std::shared_ptr<AdapterLink>> AdapterBank::links(const std::string& name) const {
  std::vector<std::shared_ptr<AdapterLink>> all;
  for (const Entry& entry : at(name)) all.push_back(entry.link);
  return all;
}

void AdapterBank::enable(const std::string& name, bool on) {
  check_unmerged("switch one");
  for (const Entry& entry : at(name)) entry.link->enable(on);
}

void AdapterBank::only(const std::string& name) {
  if (!name.empty()) at(name);
  for (const std::string& other : names()) enable(other, other == name);
}

bool AdapterBank::enabled(const std::string& name) const { return at(name).front().link->enabled(); }

void AdapterBank::set_strength(const std::string& name, double t) {
  check_unmerged("change a strength");
  for (const Entry& entry : at(name)) entry.link->set_strength(t);
}

double AdapterBank::strength(const std::string& name) const { return at(name).front().link->strength(); }

void AdapterBank::train(const std::string& name, bool on) {
  for (const NamedParameter& named : parameters(name)) named.parameter->trainable = on;
}

void AdapterBank::combine(const std::string& name, const std::vector<std::pair<std::string, double>>& terms) {
  GSNET_CHECK(!terms.empty(), "a weighted sum needs at least one adapter");
  std::vector<LayerAdapter> wanted = layers(terms.front().first);
  for (size_t i = 0; i < wanted.size(); ++i) {
    int64_t rank = 0;
    for (const auto& [term, weight] : terms) {
      const std::vector<Entry>& entries = at(term);
      GSNET_CHECK(
          entries.size() == wanted.size() && entries[i].link->site().layer == wanted[i].layer,
          fmt::format("adapters '{}' and '{}' are on different layers: they have no sum", terms.front().first, term));
      rank += entries[i].link->spec().rank;
    }
    if (!wanted[i].spec.low_rank()) continue;
    wanted[i].spec.rank = rank;
    wanted[i].spec.alpha = static_cast<double>(rank);
    wanted[i].spec.rank_stabilised = false;
  }
  attach(name, wanted, RandomKey(0));
  try {
    const std::vector<Entry>& made = at(name);
    for (size_t i = 0; i < made.size(); ++i) {
      std::vector<AdapterLink::Term> parts;
      for (const auto& [term, weight] : terms) parts.emplace_back(at(term)[i].link.get(), weight);
      made[i].link->combine(graph_.backend(), parts);
    }
  } catch (const Error&) {
    remove(name);
    throw;
  }
  for (const auto& [term, weight] : terms) enable(term, false);
}

void AdapterBank::remove(const std::string& name) {
  check_unmerged("remove one");
  for (const Entry& entry : at(name)) weight_of(entry).remove(*entry.link);
  std::erase_if(adapters_, [&](const auto& adapter) { return adapter.first == name; });
}

void AdapterBank::merge() {
  check_unmerged("merge again");
  std::map<size_t, Kept> kept;
  std::map<size_t, Tensor> merged;
  Backend& backend = graph_.backend();
  for (const auto& [name, entries] : adapters_) {
    for (const Entry& entry : entries) kept[entry.node].links.push_back(entry.link);
  }
  for (auto& [node, one] : kept) {
    Weight& weight = weight_of({node, nullptr});
    GSNET_CHECK(weight.chain().size() == one.links.size(),
                fmt::format("layer '{}': its weight is parametrised, an adapter cannot be folded into it",
                            graph_.nodes()[node].description.name));
    one.stored = weight.stored.value;
    Tape tape(backend, {});
    const Tensor value = weight.use(tape).value;
    GSNET_CHECK(std::isfinite(backend.sum_of_squares(value)),
                fmt::format("layer '{}': the merged weight is not finite", graph_.nodes()[node].description.name));
    Tensor own = backend.empty_like(value);
    backend.copy(value, own);
    merged.emplace(node, own);
  }
  for (auto& [node, value] : merged) {
    Weight& weight = weight_of({node, nullptr});
    for (const auto& link : kept[node].links) weight.remove(*link);
    weight.stored.value = value;
    weight.stored.changed();
  }
  base_ = std::move(kept);
}

void AdapterBank::unmerge() {
  GSNET_CHECK(merged(), "no adapters are merged");
  for (auto& [node, kept] : base_) {
    Weight& weight = weight_of({node, nullptr});
    weight.stored.value = kept.stored;
    weight.stored.changed();
    for (const auto& link : kept.links) weight.push(link);
  }
  base_.clear();
}

void freeze(Graph& graph, const std::vector<std::string>& but) {
  for (const Graph::Node& node : graph.nodes()) {
    const bool kept = std::ranges::any_of(but, [&](const std::string& p) { return matches(p, node.description.name); });
    const auto own = [&](Visitor& visitor) { node.module->visit(node.description.name, visitor); };
    for (const NamedParameter& named : parameters_of(own)) named.parameter->trainable = kept;
  }
}

std::string trainable_line(Graph& graph) {
  int64_t trainable = 0, all = 0;
  for (const NamedParameter& named : parameters_of(graph)) {
    const int64_t count = named.parameter->value.numel();
    all += count;
    trainable += named.parameter->trainable ? count : 0;
  }
  const auto grouped = [](int64_t number) {
    std::string digits = std::to_string(number);
    for (auto i = static_cast<int64_t>(digits.size()) - 3; i > 0; i -= 3) digits.insert(static_cast<size_t>(i), ",");
    return digits;
  };
  const double share = all == 0 ? 0 : 100.0 * static_cast<double>(trainable) / static_cast<double>(all);
  return fmt::format("trainable params: {} || all params: {} || trainable%: {:.4f}", grouped(trainable), grouped(all),
                     share);
}

}  // namespace gsnet
