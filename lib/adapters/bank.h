// AdapterBank: the adapters of one network, by name.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapters/link.h"
#include "adapters/targets.h"
#include "layers/graph.h"

namespace gsnet {

/// An adapter of one layer: what a file or a pattern asks for.
struct LayerAdapter {
  std::string layer;
  AdapterSpec spec;
};

/// Adapters on a graph's weights. A weight passes through its adapters in the order in which they were attached. The
/// graph must outlive the bank; the adapters stay on the graph when the bank goes.
class AdapterBank {
 public:
  explicit AdapterBank(Graph& graph) : graph_(graph) {}

  struct Row {
    std::string layer, kind;
    LinkReport report;
    std::string skipped;  ///< why there is none on it; empty: there is
  };
  /// Settings in place of the spec's ("block", "rank", "alpha", "factors") for layers that fit a pattern; the last
  /// wins.
  using Overrides = std::vector<std::pair<std::string, Attributes>>;

  /// A fresh adapter on the targets. Layers that the kind cannot be put on are left out and say why in their row.
  /// Throws Error when no layer is left, the name is taken, or an override fits none.
  std::vector<Row> attach(const std::string& name, const AdapterSpec& spec, const Targets& targets, RandomKey key,
                          const Overrides& overrides = {});
  /// The same on exactly these layers: nothing is left out.
  void attach(const std::string& name, const std::vector<LayerAdapter>& layers, RandomKey key);

  std::vector<std::string> names() const;
  std::vector<LayerAdapter> layers(const std::string& name) const;
  std::vector<Row> rows(const std::string& name) const;
  /// Its tensors, "<layer>.<tensor>": those of files.
  std::vector<NamedParameter> parameters(const std::string& name) const;
  std::vector<std::shared_ptr<AdapterLink>> links(const std::string& name) const;

  void enable(const std::string& name, bool on);
  /// This adapter on, all others off; an empty name: all off.
  void only(const std::string& name);
  bool enabled(const std::string& name) const;
  void set_strength(const std::string& name, double t);
  double strength(const std::string& name) const;
  void train(const std::string& name, bool on);
  /// A new adapter, the weighted sum of others on the same layers (AdapterLink::combine): it is on, they are off.
  void combine(const std::string& name, const std::vector<std::pair<std::string, double>>& terms);
  /// Takes it off the network.
  void remove(const std::string& name);

  /// Folds all adapters that are on into the stored weights and takes all off the chains; what was stored is kept for
  /// unmerge(), which restores it bit for bit, adapters and all. Throws Error naming the layer when a weight would not
  /// be finite (nothing is changed then), or when merged already.
  void merge();
  void unmerge();
  bool merged() const { return !base_.empty(); }

 private:
  struct Entry {
    size_t node;
    std::shared_ptr<AdapterLink> link;
  };
  const std::vector<Entry>& at(const std::string& name) const;
  Weight& weight_of(const Entry& entry) const;
  void check_unmerged(const char* what) const;

  Graph& graph_;
  std::vector<std::pair<std::string, std::vector<Entry>>> adapters_;  // in the order of attaching
  struct Kept {
    Tensor stored;
    std::vector<std::shared_ptr<AdapterLink>> links;
  };
  std::map<size_t, Kept> base_;  // of merged nodes
};

/// Makes every parameter of the graph one that is not trained, but for those of layers that fit a pattern.
void freeze(Graph& graph, const std::vector<std::string>& but = {});

/// "trainable params: 1,234 || all params: 56,789 || trainable%: 2.1730"
std::string trainable_line(Graph& graph);

}  // namespace gsnet
