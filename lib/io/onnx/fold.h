// Operators on constants: what exporters compute shapes and weights with.
#pragma once

#include <filesystem>
#include <optional>

#include "io/onnx/node.h"

namespace gsnet::io {

/// The value of a node whose inputs are constants (a Shape node's may be computed: the batch's extent is kBatch).
/// Nothing when it depends on the network's input or the operator is not folded. Throws Error for shapes that do not
/// fit, for arithmetic with the batch's extent, and for results of more than 2^26 elements.
std::optional<Tensor> folded(const OnnxNode& node, const std::filesystem::path& folder);

}  // namespace gsnet::io
