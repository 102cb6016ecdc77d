// The table of one instruction set: packing in and out, and the two kernels. Included once by each file compiled for
// an instruction set, after it has named GSNET_ISA.
#pragma once

#include "backend/cpu/series_gradient.inc.h"
#include "backend/cpu/series_tiles.inc.h"

namespace gsnet::cpu::GSNET_ISA {

constexpr int64_t kPixelsAhead = 4;

/// A pixel of many images is as many places far from each other, which no processor foresees.
template <int kWrite>
static inline void ask_for(const BlockView& view, int64_t pixel, int64_t channels) {
  const float* at = view.first + pixel * view.pixel_stride;
  for (int64_t image = 0; image < view.images; ++image, at += view.image_stride) {
    for (int64_t c = 0; c < channels; c += 16) __builtin_prefetch(at + c, kWrite);
  }
}

static void load_block(const SeriesGeometry& g, const BlockView& view, float scale, int64_t vectors, float* out,
                       int64_t begin, int64_t end) {
  const int64_t lanes = vectors * kVector;
  for (int64_t pixel = begin; pixel < end; ++pixel) {
    if (pixel + kPixelsAhead < end) ask_for<0>(view, pixel + kPixelsAhead, g.channels);
    transpose(view.first + pixel * view.pixel_stride, view.image_stride, view.images, lanes, g.channels, scale,
              out + pixel * g.channels * lanes, lanes);
  }
}

static void store_block(const SeriesGeometry& g, const float* from, int64_t vectors, const BlockView& view,
                        int64_t begin, int64_t end) {
  const int64_t lanes = vectors * kVector;
  for (int64_t pixel = begin; pixel < end; ++pixel) {
    if (pixel + kPixelsAhead < end) ask_for<1>(view, pixel + kPixelsAhead, g.channels);
    transpose_out(from + pixel * g.channels * lanes, lanes, g.channels, view.images,
                  view.first + pixel * view.pixel_stride, view.image_stride);
  }
}

static void columns_of(const SeriesGeometry& g, const float* u, float scale, int64_t vectors, float* out, int64_t begin,
                       int64_t end) {
  const int64_t lanes = vectors * kVector;
  for (int64_t in = 0; in < g.columns; in += 2 * kVector) {
    const int64_t wide = smaller(g.columns - in, 2 * kVector), there = smaller(g.channels - in, wide);
    for (int64_t pixel = begin; pixel < end; ++pixel) {
      transpose(u + (pixel * g.channels + in) * lanes, lanes, there, wide, lanes, scale,
                out + (in * pixels_of(g) + pixel * wide) * lanes, wide);
    }
  }
}

}  // namespace gsnet::cpu::GSNET_ISA
