// The [adapter] table of a recipe: what is trained of a pretrained network.
#pragma once

#include <string>
#include <vector>

#include "adapters/bank.h"

namespace gsnet::apps {

enum class HeadPolicy : uint8_t {
  automatic,  ///< kept where the data's classes are the network's, else replaced, or appended where the output is none
  keep,
  replace,  ///< the last linear layer, by one for the data's classes
  append,   ///< a linear layer on the output
};

enum class NormPolicy : uint8_t {
  frozen,      ///< running statistics and scales stay
  reestimate,  ///< running statistics are those of the new pictures, before training
  batch,       ///< batch statistics in training; scales are trained, running ones follow
};

struct AdaptRecipe {
  std::string method = "gsoft";  ///< an adapter's kind, "full" (all weights) or "head" (nothing but the head)
  Attributes settings;           ///< of the adapter
  Targets targets;
  AdapterBank::Overrides overrides;
  std::vector<std::string> save;  ///< layers trained and kept whole
  HeadPolicy head = HeadPolicy::automatic;
  int64_t head_epochs = 0;  ///< at first only the head is trained
  NormPolicy batch_norm = NormPolicy::frozen;
  int64_t reestimate_batches = 50;
};

}  // namespace gsnet::apps
