// A recipe: everything a training run depends on, as a TOML file says it. docs/recipes.md lists every key.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "apps/adapt_recipe.h"
#include "apps/face_recipe.h"
#include "data/loader.h"
#include "layers/description.h"
#include "train/trainer.h"

namespace gsnet::apps {

struct Recipe {
  std::string name;
  std::string file;  ///< where it was read; for messages

  // [data]
  std::string data = "glyphs";        ///< a path, or "glyphs"
  int side = 0;                       ///< of pictures from folders and archives
  int64_t limit = 0;                  ///< training pictures used; 0: all
  int64_t validation = 0;             ///< pictures held out of the training part to choose the model; 0: a tenth
  int64_t glyphs = 10'000;            ///< size of the embedded training set
  std::string classes;                ///< a file that names the classes that are used, one a line; empty: all
  int64_t least_pictures = 1;         ///< classes with fewer are left out
  std::string corruption;             ///< of every picture: "gaussian_noise:3"; empty: none
  data::Normalisation normalisation;  ///< empty: that of the data set's kind
  data::Augmentation augmentation;

  // [model]
  std::string architecture = "lipconvnet";
  Attributes model;

  // [loss], [optimiser], [schedule]
  TrainSpec train;
  double offset_radius = 0;  ///< the loss asks for the logit margin that certifies this radius: sets its offset

  // [adapter]: of `gsnet adapt` only
  std::optional<AdaptRecipe> adapt;

  // [face]: of `gsnet adapt` only; it trains embeddings then
  std::optional<FaceRecipe> face;

  // [run]
  int64_t epochs = 10;
  double minutes = 0;  ///< fewer epochs, as many as fit into this time here; 0: no limit
  int64_t batch = 128;
  uint64_t seed = 1;
  double radius = 36.0 / 255;  ///< at which validation counts certified accuracy, and chooses
  int loader_threads = 1;
};

/// Reads a recipe; `settings` are "key=value" with dotted keys ("run.epochs=3") that replace its entries; values are
/// TOML, or a bare word. Throws Error naming the file, line and key: unknown keys, wrong kinds, impossible values. An
/// empty path is an empty recipe.
Recipe read_recipe(const std::filesystem::path& path, const std::vector<std::string>& settings);

/// "key=value" settings of a network, as in a recipe's [model].
Attributes parse_settings(const std::vector<std::string>& settings);

/// The recipe as TOML, every setting written out: reads back to the same.
std::string recipe_text(const Recipe& recipe);

}  // namespace gsnet::apps
