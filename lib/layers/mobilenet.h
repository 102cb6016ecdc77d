// Networks of inverted residuals: MobileNetV2 (Sandler et al., CVPR 2018) as torchvision names it, and MobileFaceNet
// (Chen et al., CCBR 2018) as foamliu/MobileFaceNet does.
#pragma once

#include <string_view>

#include "layers/description.h"

namespace gsnet {

/// Of width 1. Settings: statistics of the batch norms ("frozen", "batch"). Throws Error for an unknown setting and for
/// pictures below 32 x 32.
Description mobilenetv2(std::string_view name, const Attributes& settings, const Shape& input, int64_t classes);

/// Embeddings of faces (3, 112, 112). Activations are clipped at 6. Settings: statistics. Throws Error for an unknown
/// setting and any other input.
Description mobilefacenet(std::string_view name, const Attributes& settings, const Shape& input, int64_t size);

}  // namespace gsnet
