// LipConvNet: the family of networks on which orthogonal convolutions are compared.
#pragma once

#include <string>

#include "layers/description.h"

namespace gsnet {

/// Five levels of depth / 5 convolutions each, the last of a level with stride 2 and twice the channels; then a linear
/// head. Singla and Feizi (ICML 2021); grouped and shuffled: arXiv 2406.10019. Settings, all optional:
///   depth      5, 10, … 40 (5)            width     channels of the first level (32)
///   groups     of the k x k exponentials (4)         groups2   of the 1 x 1 exponentials, 0 for none (0)
///   variant    "gs" | "lpr" | "permuted" | "soc": soc has no shuffle and, unless set, one group
///   paired     (true)                      activation "maxmin" | "maxmin_halves" | "householder" (maxmin)
///   order      "max_first" | "min_first"   head       "normalised" | "orthogonal" | "linear" (normalised)
///   scale      of the exponentials ("stretch")
///   fit, norm, train_series, train_degree, eval_series, eval_degree, save: SkewConv's
///   shuffle2   GroupShuffleConv's
/// Throws Error for an unknown setting or an input that does not divide by 32.
Description lipconvnet(const Attributes& settings, const Shape& input, int64_t classes);

}  // namespace gsnet
