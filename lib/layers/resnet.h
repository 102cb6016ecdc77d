// Residual networks for large pictures: He et al. (CVPR 2016), named as torchvision names them.
#pragma once

#include <string_view>

#include "layers/description.h"

namespace gsnet {

/// "resnet18", "resnet34" of two 3 x 3 convolutions a block; "resnet50", "resnet101", "resnet152" of bottlenecks with
/// the stride in the 3 x 3 convolution. Settings: statistics of the batch norms ("frozen", "batch"). Throws Error for
/// an unknown setting and for pictures below 32 x 32.
Description resnet(std::string_view name, const Attributes& settings, const Shape& input, int64_t classes);

}  // namespace gsnet
