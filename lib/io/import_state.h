// Networks of plain layers from a state dict: an architecture known by name, or any graph that is described.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "io/safetensors.h"
#include "layers/model.h"

namespace gsnet::io {

struct StateImportOptions {
  /// One of them. A name of layers/architectures.h, outputs being counted from the tensors. Or a description whose
  /// layers are named like the state dict's modules.
  std::string architecture = {};
  std::optional<Description> network = {};
  /// Pictures (C, H, W) for an architecture; missing: those of the published network.
  std::optional<Shape> input = {};
  /// Which tensors: those whose names begin with it, which is cut off ("state_dict.0." or "0."). Empty: "state_dict."
  /// where there is one, else all.
  std::string prefix = {};
  std::vector<double> mean = {}, stddev = {};  ///< one for all channels or one a channel; as ModelInfo's
  /// "0", "1", … when there are none; none for an architecture that gives embeddings.
  std::vector<std::string> class_names = {};
  ChannelOrder order = ChannelOrder::rgb;  ///< in which the network takes colours
};

/// The tensors under a prefix without it, as StateImportOptions says, and without "module." where all have it (as
/// DataParallel writes). Throws Error listing what there is when the prefix leads nowhere.
TensorFile sub_state(const TensorFile& file, const std::string& prefix);

/// The network with the state dict's tensors; "num_batches_tracked" is ignored. Throws Error naming all tensors that
/// are missing and all that belong to no layer, a wrong shape, a number that is not finite, a negative running
/// variance.
Model import_state(const TensorFile& file, const StateImportOptions& options, Backend& backend);

}  // namespace gsnet::io
