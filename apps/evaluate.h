// Running a classifier over a data set.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "certify/margin.h"
#include "data/loader.h"
#include "layers/model.h"

namespace gsnet::apps {

/// One picture's outcome.
struct Outcome {
  int label = 0;
  Certificate certificate;
  double loss = 0;  ///< plain cross-entropy
};

/// Throws Error unless the pictures have the model's shape, the classes its number, and no class another name than
/// there.
void check_fits(const Model& model, const data::Dataset& dataset);
/// Says on standard error where a model's outputs have no names and may be no logits.
void note_nameless(const Model& model);

struct EvaluateSpec {
  int64_t limit = 0;
  int64_t batch = 128;
  int loader_threads = 1;
  bool executed = false;  ///< bound rounding errors too: certificates carry an executed radius
};
/// Certifies pictures [0, limit) of a set (0: all) in batches. Throws Error as check_fits() does. `progress` is called
/// after each batch with the number done.
std::vector<Outcome> evaluate(const Model& model, std::shared_ptr<const data::Dataset> dataset,
                              const EvaluateSpec& spec,
                              const std::function<void(int64_t done, int64_t total)>& progress = {});

/// Shares of all outcomes.
struct Accuracy {
  double clean = 0;      ///< right and not tied
  double certified = 0;  ///< right with a certificate larger than the radius
  double loss = 0;
};
Accuracy accuracy_of(const std::vector<Outcome>& outcomes, double radius);

/// Clean accuracy and loss of any classifier, without certificates.
Accuracy measure(const Model& model, std::shared_ptr<const data::Dataset> dataset, const EvaluateSpec& spec);

}  // namespace gsnet::apps
