// Backbones of face recognition as insightface's arcface_torch trains and names them (Deng et al., CVPR 2019). Inputs
// are aligned faces (3, 112, 112); outputs are embeddings, not normalised.
#pragma once

#include <string_view>

#include "layers/description.h"

namespace gsnet {

/// "iresnet18", 34, 50, 100, 200: residual blocks that begin with a batch norm and end without an activation, PReLU
/// within; a linear layer on the flattened map (the state dict's fits one size of pictures). Settings: statistics of
/// the batch norms ("frozen", "batch"). Throws Error for an unknown setting and for pictures below 16 x 16.
Description iresnet(std::string_view name, const Attributes& settings, const Shape& input, int64_t size);

/// "mbf": MobileFaceNet of twice the width, with PReLU. Settings: statistics. Throws Error for an unknown setting and
/// any input but (3, 112, 112).
Description mbf(std::string_view name, const Attributes& settings, const Shape& input, int64_t size);

}  // namespace gsnet
