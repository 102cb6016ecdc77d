// A network to be run, of whatever file holds it.
#pragma once

#include <filesystem>

#include "backend/backend.h"
#include "layers/model.h"

namespace gsnet::apps {

/// A model file, or an ONNX file that gsnet wrote: its metadata hold the normalisation. Throws Error for an ONNX file
/// without any, which says to import it.
Model open_model(const std::filesystem::path& path, Backend& backend);

}  // namespace gsnet::apps
