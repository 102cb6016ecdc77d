// What adaptations share: the base, what is trained of it, the adapter's file, the merged network.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apps/adapt_network.h"
#include "apps/training_run.h"
#include "io/adapter_file.h"

namespace gsnet::apps {

class AdaptRun : public TrainingRun {
 protected:
  /// Reads the base; recipe_'s normalisation becomes the base's, and its side where it has none. Throws Error for a
  /// normalisation that is not the base's, and for [model]. Options besides TrainingRun's: --merged.
  AdaptRun(const Recipe& recipe, const std::string& base, const Options& options);

  /// The network to be trained, out of the base, which is there until then: with a head for these classes, or none
  /// where the output is an embedding. What is trained is marked.
  void build(const std::optional<std::vector<std::string>>& classes);
  /// start() with the pictures as the network takes them, after its batch norms saw them if the recipe says so.
  void begin(std::shared_ptr<const data::Dataset> train, std::shared_ptr<Objective> objective = nullptr);
  const Model& base() const { return read_; }
  const std::string& base_path() const { return base_; }
  Model& adapted() { return adapted_.model; }
  Graph& graph() { return *adapted_.model.graph; }
  const AdaptRecipe& adapt() const { return adapt_; }
  bool keeps_head() const { return keeps_head_; }

  /// Rows of the layers that are adapted, and how many numbers are trained.
  void announce_layers();
  /// The head comes first: random outputs would drag the rest along.
  void before_epoch(int64_t epoch) override;
  void keep(int64_t epoch) override;
  int finish(const RunState& state) override;
  /// Judges the kept network on the test and prints; returns what result.json holds besides, a JSON object.
  virtual std::string test(const Model& after) = 0;

 private:
  void choose_parameters();
  void attach();
  void check_saved();
  void exclude(Targets& targets, const std::string& pattern);
  bool any_site_left(const Targets& targets);
  int64_t trained_numbers();
  int64_t free_numbers(int64_t trained) const;
  std::filesystem::path kept_path() const;
  Model best();
  void write_merged(Model& model) const;

  std::string base_, base_fingerprint_, merged_;
  AdaptRecipe adapt_;
  Model read_;
  AdaptedNetwork network_;
  io::AdaptedModel adapted_;
  std::vector<AdapterBank::Row> rows_;
  std::vector<std::string> saved_;
  bool keeps_head_ = true;
  std::map<std::string, bool> wanted_;  // which parameters are trained once the head had its epochs
};

}  // namespace gsnet::apps
