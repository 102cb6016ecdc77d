// gsnet adapt of a face network: embeddings are trained towards class centres, pairs choose the epoch and judge it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/adapt_run.h"
#include "apps/pair_scores.h"
#include "apps/training_data.h"
#include "data/verification.h"
#include "faces/head.h"

namespace gsnet::apps {

class FaceRun final : public AdaptRun {
 public:
  FaceRun(const Recipe& recipe, const std::string& base, const Options& options);

 private:
  /// What the pairs say on clean pictures and under every corruption of the recipe.
  using Scores = std::vector<VerifyCondition>;

  void open_data();
  void make_objective();
  void make_teacher();
  void make_head();
  /// `unreadable` gets why clean pictures could not be read.
  Scores judged(const Model& model, const data::VerificationSet& set, const std::vector<double>& fars,
                std::vector<std::string>* unreadable = nullptr) const;
  void check_rate(int64_t impostors) const;
  Embeddings embedded(const Model& model, const std::shared_ptr<const data::Dataset>& pictures, const std::string& what,
                      bool flip = false) const;
  /// TAR that chooses the epoch: the mean over the corruptions, or on clean pictures where there are none.
  static double score_of(const Scores& scores);

  void announce() override;
  Validation validate() override;
  void keep(int64_t epoch) override;
  int finish(const RunState& state) override;
  std::string test(const Model& after) override;

  FaceRecipe face_;
  std::vector<std::string> conditions_;          // "clean", then the recipe's corruptions
  std::shared_ptr<const data::Dataset> people_;  // clean training pictures
  data::VerificationSet validation_, test_;
  std::shared_ptr<FaceHead> head_;  // null with a teacher
  std::shared_ptr<Objective> objective_;
  Scores base_scores_;                   // on the validation folds
  std::vector<std::string> unreadable_;  // validation pictures
  std::vector<std::string> notes_;
};

}  // namespace gsnet::apps
