// Running an embedding network over pictures.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "data/loader.h"
#include "layers/model.h"

namespace gsnet::apps {

struct EmbedSpec {
  int64_t batch = 64;
  int loader_threads = 1;
  bool flip = false;  ///< the sum of the embeddings of the picture and of its mirror image
};

struct Embeddings {
  Tensor rows;  ///< (N, D) f32, as the network gives them; rows of unreadable pictures are 0
  std::map<int64_t, std::string> unreadable;  ///< pictures that could not be read, and why
};

/// The side of the square colour pictures that the model takes. Throws Error for a model of other inputs.
int face_side(const Model& model);

/// Embeds every picture once, decoded in other threads, in the model's order of channels. Throws Error naming the first
/// picture whose embedding is not finite. `progress` is called after each batch with the number done.
Embeddings embed(const Model& model, std::shared_ptr<const data::Dataset> pictures, const EmbedSpec& spec,
                 const std::function<void(int64_t done, int64_t total)>& progress = {});

}  // namespace gsnet::apps
