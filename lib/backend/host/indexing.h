// Reading a tensor as pixels of channels.
#pragma once

#include "core/tensor.h"

namespace gsnet::host {

/// A channels-last (N, C, H, W) tensor, or a matrix (N, C) as one pixel an image, as `pixels` rows of `channels`.
struct Pixels {
  int64_t pixels;
  int64_t channels;
};

inline Pixels pixels_of(const Tensor& x) {
  const int64_t channels = x.shape()[1];
  return {channels == 0 ? 0 : x.numel() / channels, channels};
}

}  // namespace gsnet::host
