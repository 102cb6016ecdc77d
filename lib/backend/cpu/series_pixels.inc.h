// Between tensors of pixels and blocks of images: every line of the tensor is read or written once for all groups, and
// channels find their places on the way.
#pragma once

#include "backend/cpu/series_kernels.h"
#include "backend/cpu/simd_transpose.h"

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

/// Calls body(pixel, count, i, outer) for `count` pixels of the series one after the other: they are pixels i of their
/// blocks, `outer` the first one's number in the tensor, the next ones `block` further each.
template <class Body>
static inline void each_row_of_pixels(const SeriesGeometry& g, int64_t block, int64_t begin, int64_t end, Body&& body) {
  if (block == 1) return body(begin * g.width, (end - begin) * g.width, int64_t{0}, begin * g.width);
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t i = 0; i < block * block; ++i) {
      body(row * g.width, g.width, i, (row * block + i / block) * g.width * block + i % block);
    }
  }
}

/// One pixel of a tile of images.
static inline void spread_pixel(const SpreadPixels& s, const float* at, int64_t images, const ChannelPlace* place,
                                float* to, int64_t first) {
  for (int64_t c = 0; c < s.channels; c += kTile, place += kTile) {
    const int64_t wide = smaller(s.channels - c, kTile);
    const Tile tile = load_transposed(at + c, s.image_stride, images, wide, s.scale);
#pragma GCC unroll 16
    for (int i = 0; i < kTile; ++i) {
      if (i >= wide || place[i].group < 0) continue;
      store(to + place[i].group * s.group_floats + place[i].channel * s.lanes + first, tile.rows[i]);
    }
  }
}

static void spread_pixels(const SeriesGeometry& g, const SpreadPixels& s) {
  const int64_t pixel_floats = g.channels * s.lanes;
  each_row_of_pixels(g, s.block, s.begin, s.end, [&](int64_t pixel, int64_t count, int64_t i, int64_t outer) {
    const float* first = s.x + outer * s.channels;
    const BlockView view = {const_cast<float*>(first), s.image_stride, s.block * s.channels, s.images};
    each_tile_of_images<0>(view, s.channels, s.lanes, 0, count, [&](int64_t image, int64_t n, int64_t there) {
      spread_pixel(s, first + image * s.image_stride + n * view.pixel_stride, there, s.place + i * s.channels,
                   s.to + (pixel + n) * pixel_floats, image);
    });
  });
  for (int64_t i = 0; i < s.empties; ++i) {
    float* to = s.to + s.empty[i].group * s.group_floats + s.empty[i].channel * s.lanes;
    for (int64_t pixel = s.begin * g.width; pixel < s.end * g.width; ++pixel) {
      for (int64_t lane = 0; lane < s.lanes; lane += kVector) store(to + pixel * pixel_floats + lane, Vector{});
    }
  }
}

/// One pixel of a tile of images.
static inline void gather_pixel(const GatherPixels& s, const float* from, int64_t images, const ChannelPlace* place,
                                float* y) {
  for (int64_t c = 0; c < s.channels; c += kTile, place += kTile) {
    const int64_t wide = smaller(s.channels - c, kTile);
    Tile tile;
#pragma GCC unroll 16
    for (int i = 0; i < kTile; ++i) {
      tile.rows[i] = Vector{};
      if (i >= wide) continue;
      if (place[i].group >= 0) tile.rows[i] = load(from + place[i].group * s.group_floats + place[i].channel * s.lanes);
      if (s.bias != nullptr) tile.rows[i] += fill(s.bias[c + i]);
    }
    store_transposed(tile, images, wide, y + c, s.image_stride);
  }
}

static void gather_pixels(const SeriesGeometry& g, const GatherPixels& s) {
  const int64_t pixel_floats = g.channels * s.lanes;
  each_row_of_pixels(g, s.block, s.begin, s.end, [&](int64_t pixel, int64_t count, int64_t i, int64_t outer) {
    float* first = s.y + outer * s.channels;
    const BlockView view = {first, s.image_stride, s.block * s.channels, s.images};
    each_tile_of_images<1>(view, s.channels, s.lanes, 0, count, [&](int64_t image, int64_t n, int64_t there) {
      gather_pixel(s, s.from + (pixel + n) * pixel_floats + image, there, s.place + i * s.channels,
                   first + image * s.image_stride + n * view.pixel_stride);
    });
  });
}

}  // namespace gsnet::cpu::GSNET_ISA
