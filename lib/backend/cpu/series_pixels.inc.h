// Between tensors of pixels and blocks of images: every line of the tensor is read or written once for all groups, and
// channels find their places on the way.
#pragma once

#include "backend/cpu/series_kernels.h"
#include "backend/cpu/simd.h"

namespace gsnet::cpu::GSNET_ISA {

constexpr int64_t kPixelsAhead = 4, kPixelsTogether = 16;

/// A pixel of many images is as many places far from each other, which no processor foresees.
template <int kWrite>
static inline void ask_for(const float* at, int64_t stride, int64_t images, int64_t channels) {
  for (int64_t image = 0; image < images; ++image, at += stride) {
    for (int64_t c = 0; c < channels; c += 16) __builtin_prefetch(at + c, kWrite);
  }
}

/// Calls body(first image, pixel, images there), asking for pixels ahead: a few pixels of a tile of images before the
/// next tile, for images lie powers of two apart, and the first-level cache has not the ways for all of them.
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

static inline void copy_tile_row(const float* from, float* to) {
  __builtin_memcpy(to, from, static_cast<size_t>(kTile) * sizeof(float));
}

/// One pixel of a tile of images.
static inline void spread_pixel(const SpreadPixels& s, const float* at, int64_t images, const ChannelPlace* place,
                                float* to, int64_t first) {
  float tile[kTile * kTile];
  for (int64_t c = 0; c < s.channels; c += kTile) {
    const int64_t wide = smaller(s.channels - c, kTile);
    transpose_tile(at + c, s.image_stride, images, wide, 1, tile, kTile);
    for (int64_t i = 0; i < wide; ++i) {
      const ChannelPlace& p = place[c + i];
      if (p.group >= 0) copy_tile_row(tile + i * kTile, to + p.group * s.group_floats + p.channel * s.lanes + first);
    }
  }
}

static void spread_pixels(const SeriesGeometry& g, const SpreadPixels& s) {
  const int64_t row_floats = g.width * s.block * s.channels, pixel_floats = g.channels * s.lanes;
  for (int64_t row = 0; row < g.height; ++row) {
    for (int64_t i = 0; i < s.block * s.block; ++i) {
      const float* first = s.x + (row * s.block + i / s.block) * row_floats + i % s.block * s.channels;
      const BlockView view = {const_cast<float*>(first), s.image_stride, s.block * s.channels, s.images};
      each_tile_of_images<0>(view, s.channels, s.lanes, 0, g.width, [&](int64_t image, int64_t pixel, int64_t there) {
        spread_pixel(s, first + image * s.image_stride + pixel * view.pixel_stride, there, s.place + i * s.channels,
                     s.to + (row * g.width + pixel) * pixel_floats, image);
      });
    }
  }
  for (int64_t i = 0; i < s.empties; ++i) {
    float* to = s.to + s.empty[i].group * s.group_floats + s.empty[i].channel * s.lanes;
    for (int64_t pixel = 0; pixel < pixels_of(g); ++pixel, to += pixel_floats) {
      for (int64_t lane = 0; lane < s.lanes; lane += kVector) store(to + lane, Vector{});
    }
  }
}

static void gather_pixels(const SeriesGeometry& g, const GatherPixels& s) {
  const int64_t pixel_floats = g.channels * s.lanes;
  const BlockView view = {s.y, s.image_stride, s.channels, s.images};
  each_tile_of_images<1>(view, s.channels, s.lanes, 0, pixels_of(g), [&](int64_t image, int64_t pixel, int64_t there) {
    const float* from = s.from + pixel * pixel_floats + image;
    float* y = s.y + image * s.image_stride + pixel * s.channels;
    float tile[kTile * kTile];
    for (int64_t c = 0; c < s.channels; c += kTile) {
      const int64_t wide = smaller(s.channels - c, kTile);
      for (int64_t i = 0; i < wide; ++i) {
        const ChannelPlace& p = s.place[c + i];
        const float* row = p.group >= 0 ? from + p.group * s.group_floats + p.channel * s.lanes : nullptr;
        const float bias = s.bias != nullptr ? s.bias[c + i] : -0.0F;  // -0 adds nothing, not even a sign
        for (int64_t n = 0; n < kTile; ++n) tile[i * kTile + n] = (row != nullptr ? row[n] : 0) + bias;
      }
      transpose_out(tile, kTile, wide, there, y + c, s.image_stride);
    }
  });
}

}  // namespace gsnet::cpu::GSNET_ISA
