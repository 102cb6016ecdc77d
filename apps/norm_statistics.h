// Running statistics of batch norms, from other pictures.
#pragma once

#include <memory>

#include "data/dataset.h"
#include "layers/model.h"

namespace gsnet::apps {

struct StatisticsSpec {
  int64_t batch = 128, batches = 50;
  uint64_t seed = 1;
};

/// Puts the mean of so many batches' means and variances into every batch norm of the model, each layer seeing what the
/// ones before it make of the batch with its own statistics (Li et al., "AdaBN", 2018). Returns how many there are.
int64_t reestimate_statistics(Model& model, std::shared_ptr<const data::Dataset> pictures, const StatisticsSpec& spec);

}  // namespace gsnet::apps
