// The table of one instruction set: packing in and out, and the two kernels. Included once by each file compiled for
// an instruction set, after it has named GSNET_ISA.
#pragma once

#include "backend/cpu/series_lines.inc.h"
#include "backend/cpu/series_pixels.inc.h"

namespace gsnet::cpu::GSNET_ISA {

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
  const int64_t lanes = vectors * kVector, pixel_floats = g.channels * lanes;
  for (int64_t pixel = begin; pixel < end; ++pixel) {
    const float* from = u + pixel * pixel_floats;
    for (int64_t in = 0; in < g.columns; in += 2 * kVector) {
      const int64_t wide = smaller(g.columns - in, 2 * kVector), there = smaller(g.channels - in, wide);
      // A kept iterate comes from far, and pixels of many channels are pages apart.
      if (pixel + 1 < end) ask_for<0>(from + pixel_floats + in * lanes, 0, 1, there * lanes);
      transpose(from + in * lanes, lanes, there, wide, lanes, scale, out + (in * pixels_of(g) + pixel * wide) * lanes,
                wide);
    }
  }
}

}  // namespace gsnet::cpu::GSNET_ISA
