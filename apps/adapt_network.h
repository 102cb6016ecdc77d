// The network that an adaptation trains: the base with another head, rotations and batch norms as the recipe asks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/adapt_recipe.h"
#include "layers/model.h"

namespace gsnet::apps {

struct AdaptedNetwork {
  ModelInfo info;
  bool changed = false;  ///< info is not the base's
  std::string head;      ///< layer of the classification head, empty where the network has none that is trained
  std::vector<std::string> fresh;      ///< layers that are not the base's: a new head, rotations
  std::vector<std::string> rotations;  ///< gs_rotation layers, put before layers whose weight takes no adapter
};

/// `classes` are the data's; without any, the output is an embedding and stays as it is. Throws Error when the head's
/// policy cannot be followed.
AdaptedNetwork adapt_network(const ModelInfo& base, const Graph& graph, const AdaptRecipe& recipe,
                             const std::optional<std::vector<std::string>>& classes);

}  // namespace gsnet::apps
