// The table of one instruction set: packing in and out, and the two kernels. Included once by each file compiled for
// an instruction set, after it has named GSNET_ISA.
#pragma once

#include "backend/cpu/series_small.inc.h"
#include "backend/cpu/series_tiles.inc.h"

namespace gsnet::cpu::GSNET_ISA {

constexpr int64_t kPixelsAhead = 4, kPixelsTogether = 16;

/// A pixel of many images is as many places far from each other, which no processor foresees.
template <int kWrite>
static inline void ask_for(const float* at, int64_t stride, int64_t images, int64_t channels) {
  for (int64_t image = 0; image < images; ++image, at += stride) {
    for (int64_t c = 0; c < channels; c += 16) __builtin_prefetch(at + c, kWrite);
  }
}

/// Calls body(first image, pixel), asking for pixels ahead: a few pixels of a tile of images before the next tile, for
/// images lie powers of two apart, and the first-level cache has not the ways for all of them.
template <int kWrite, class Body>
static inline void each_tile_of_images(const BlockView& view, int64_t channels, int64_t lanes, int64_t begin,
                                       int64_t end, Body&& body) {
  for (int64_t first = begin; first < end; first += kPixelsTogether) {
    const int64_t last = smaller(first + kPixelsTogether, end);
    for (int64_t image = 0; image < lanes; image += kTile) {
      const int64_t there = image < view.images ? smaller(view.images - image, kTile) : 0;
      const float* at = view.first + image * view.image_stride + (first + kPixelsAhead) * view.pixel_stride;
      for (int64_t pixel = first; pixel < last; ++pixel, at += view.pixel_stride) {
        if (pixel + kPixelsAhead < end) ask_for<kWrite>(at, view.image_stride, there, channels);
        body(image, pixel, there);
      }
    }
  }
}

static void load_block(const SeriesGeometry& g, const BlockView& view, float scale, int64_t vectors, float* out,
                       int64_t begin, int64_t end) {
  const int64_t lanes = vectors * kVector;
  each_tile_of_images<0>(view, g.channels, lanes, begin, end, [&](int64_t image, int64_t pixel, int64_t there) {
    transpose(view.first + image * view.image_stride + pixel * view.pixel_stride, view.image_stride, there, kTile,
              g.channels, scale, out + pixel * g.channels * lanes + image, lanes);
  });
}

static void store_block(const SeriesGeometry& g, const float* from, int64_t vectors, const BlockView& view,
                        int64_t begin, int64_t end) {
  const int64_t lanes = vectors * kVector;
  each_tile_of_images<1>(view, g.channels, lanes, begin, end, [&](int64_t image, int64_t pixel, int64_t there) {
    transpose_out(from + pixel * g.channels * lanes + image, lanes, g.channels, there,
                  view.first + image * view.image_stride + pixel * view.pixel_stride, view.image_stride);
  });
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
