// The residual networks of He et al. (CVPR 2016, section 4.2) for pictures of 32 x 32.
#pragma once

#include <string_view>

#include "layers/description.h"

namespace gsnet {

/// "resnet20", "resnet32", "resnet44", "resnet56", "resnet110" (depth 6 n + 2): three stages of n blocks with 16, 32,
/// 64 channels and shortcuts without parameters (option A). Layers are named as in akamaster/pytorch_resnet_cifar10:
/// "conv1", "bn1", "layer1.0.conv1", …, "linear". Setting: statistics (BatchNorm's). Throws Error for an unknown name,
/// an input that is no picture or smaller than 4 x 4, and for fewer than two classes.
Description resnet_cifar(std::string_view name, const Attributes& settings, const Shape& input, int64_t classes);

}  // namespace gsnet
