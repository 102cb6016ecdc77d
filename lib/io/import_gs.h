// Networks of the Group-and-Shuffle paper's public code (arXiv 2406.10019), from their state dict as safetensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "backend/backend.h"
#include "io/safetensors.h"
#include "layers/model.h"

namespace gsnet::io {

/// What the state dict does not say; empty fields are read from the file's metadata or told by shapes. conv_layer and
/// activation no shape tells; paired is needed where a shuffle of more than one group happens; the others are checked
/// against the shapes when given.
struct GsImportOptions {
  std::optional<std::string> conv_layer = {};  ///< soc, permuted_soc, gs_soc, gs_soc_accelerated, lpr_soc
  std::optional<std::string> groups = {};      ///< "4", "4 1", "(4, 1)" or "4,1"
  std::optional<std::string> activation = {};  ///< minmax, minmax_permuted, or SOC's own maxmin (halves, maximum first)
  std::optional<bool> paired = {};
  std::optional<int64_t> init_channels = {}, block_size = {}, num_classes = {};
};

/// The same function in evaluation (12 Taylor terms, or the metadata's eval_terms; 1x1 exponentials to full precision):
/// reference behaviour throughout (head fit, four forms with their stored vectors and correction, minimum first).
/// Inputs are (3, 32, 32), normalised as there: CIFAR means, stddev 0.2507. Tensors "input" and "logits" are ignored.
/// Throws Error naming what is missing or does not fit.
Model import_gs(const TensorFile& file, const GsImportOptions& options, Backend& backend);

}  // namespace gsnet::io
