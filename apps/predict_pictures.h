// A network on plain pictures: classes with probabilities, or embeddings.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "autograd/tape.h"
#include "layers/model.h"

namespace gsnet::apps {

/// Pictures that could be read, in the order of their names, and what the network says of each.
struct Predictions {
  std::vector<std::string> names;
  Tensor outputs;                       ///< (N, K) f32, on the host
  std::vector<std::string> unreadable;  ///< messages, each beginning with the file
};

/// fast: TapeMode::fast, and what pays for many is done at once where so many pictures are known to come.
TapeMode prediction_mode(bool fast, int64_t pictures);

/// Runs the network on a picture or on all below a folder, decoded, cut to the square in the middle, scaled to the
/// network's side and normalised as the model says. Throws Error where there is no picture, or none that can be read,
/// and for a network that takes no square pictures of three channels.
Predictions predict_pictures(const Model& model, const std::filesystem::path& path, int64_t batch, bool fast = false);

/// What a network of named classes makes of its outputs, row by row; the outputs themselves where classes have no
/// names.
Tensor probabilities(const Tensor& logits);

/// For people: picture, class and probability; or the embedding's length and first numbers.
std::string predictions_table(const Model& model, const Predictions& predictions);
/// For programs: {"pictures": [{"name", "class", "probability", "probabilities" | "embedding"}], "classes",
/// "unreadable"}.
std::string predictions_json(const Model& model, const Predictions& predictions);
/// Tensors "logits" and "probabilities", or "embeddings"; names as a JSON text in the metadata ("pictures").
void write_predictions(const std::filesystem::path& path, const Model& model, const Predictions& predictions);

}  // namespace gsnet::apps
