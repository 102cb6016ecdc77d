// Small layers that the convolution before them can do while it has its output at hand, so that maps are written once.
#pragma once

#include <limits>
#include <optional>

#include "autograd/tape.h"

namespace gsnet {

/// scale[c] x + shift[c], both (C).
struct ChannelAffine {
  Var scale, shift;
};

/// What a layer does to its input, as far as an epilogue knows it.
struct EpilogueStep {
  enum class Kind : uint8_t {
    none,    ///< something else
    affine,  ///< Module::channel_affine
    add,     ///< the sum of its inputs
    clip,    ///< held between low and high
  };
  Kind kind = Kind::none;
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
};

/// y = scale conv(x) + shift + addend, held between low and high; each part may be missing.
struct Epilogue {
  std::optional<ChannelAffine> affine;
  std::optional<Var> addend;
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
};

}  // namespace gsnet
