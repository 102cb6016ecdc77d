// Networks known by name: what `gsnet import --architecture` and recipes can say.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "layers/description.h"

namespace gsnet {

struct Architecture {
  std::string_view name;
  /// `outputs`: classes, or the size of the embedding. Throws Error for an unknown setting and for an input that the
  /// network cannot take.
  Description (*describe)(std::string_view name, const Attributes& settings, const Shape& input, int64_t outputs);
  Shape input = {};            ///< of the published network; empty: any
  std::string_view head = {};  ///< the tensor of its state dict whose first axis counts the outputs; empty: none does
  bool embeds = false;         ///< outputs are an embedding (of a face), not classes
};

std::span<const Architecture> architectures();
/// Throws Error listing all names for one that is unknown.
const Architecture& find_architecture(std::string_view name);
/// find_architecture(name) described.
Description make_architecture(std::string_view name, const Attributes& settings, const Shape& input, int64_t outputs);

}  // namespace gsnet
