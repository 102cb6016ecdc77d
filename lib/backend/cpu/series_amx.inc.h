// Products of bf16 by the matrix tiles of AMX: one instruction multiplies 16 x 32 by 32 x 16 factors. A tile of sums is
// 16 output channels by one vector of images, or, in a weight gradient, by one of input channels.
//
// Arrays are those of ReducedKernels with `paired`: pairs of channels of u are the rows of a tile as they lie. Weights
// are [run][tap][chunk of inputs][tile of outputs][output][input], see TileShape.
#pragma once

#include <utility>

#include "backend/cpu/series_bf16.inc.h"

namespace gsnet::cpu::GSNET_ISA {

constexpr int64_t kTileRows = 16, kTileDepth = 32, kTileFloats = kTileRows * kVector;
constexpr int64_t kLargestTileRun = 2 * kTileRows;

/// How a group's channels are cut into tiles.
struct TileShape {
  int64_t tiles, rows;    ///< of output channels, in a run; missing ones are zeros
  int64_t chunks, depth;  ///< of input channels; the last chunk ends with the last channel, and has zeros for what the
                          ///< one before it has

  explicit TileShape(const SeriesGeometry& g) {
    const int64_t longest = g.run_channels + (g.longer_runs > 0 ? 1 : 0);
    tiles = (longest + kTileRows - 1) / kTileRows;
    rows = (longest + tiles - 1) / tiles;
    chunks = (g.channels + kTileDepth - 1) / kTileDepth;
    depth = (g.channels / 2 + chunks - 1) / chunks * 2;
  }

  int64_t tile_halves() const { return rows * depth; }
  int64_t run_halves() const { return tiles * chunks * tile_halves(); }
  int64_t chunk_begin(const SeriesGeometry& g, int64_t chunk) const {
    return smaller(chunk * depth, g.channels - depth);
  }
};

/// The run that begins with a channel.
struct RunPlace {
  int64_t run, size;

  RunPlace(const SeriesGeometry& g, int64_t first_channel) {
    const int64_t longer = g.longer_runs * (g.run_channels + 1);
    const bool is_longer = first_channel < longer;
    run = is_longer ? first_channel / (g.run_channels + 1) : (first_channel - g.longer_runs) / g.run_channels;
    size = g.run_channels + (is_longer ? 1 : 0);
  }
};

// Registers: 0 to 3 are sums, 4 and 5 rows' factors, 6 and 7 columns'. A thread has them between these two.
class TilesHeld {
 public:
  TilesHeld(int64_t rows, int64_t depth) {
    struct alignas(64) {
      uint8_t palette = 1, first_row = 0, unused[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } shape;
    for (int tile = 0; tile < 8; ++tile) {
      const bool is_factor = tile == 4 || tile == 5, is_column = tile >= 6;
      shape.row_bytes[tile] = static_cast<uint16_t>(is_factor ? depth * 2 : kVector * 4);
      shape.rows[tile] = static_cast<uint8_t>(is_column ? depth / 2 : rows);
    }
    asm volatile("ldtilecfg (%0)" ::"r"(&shape) : "memory");
  }
  ~TilesHeld() { asm volatile("tilerelease"); }
  TilesHeld(const TilesHeld&) = delete;
  TilesHeld& operator=(const TilesHeld&) = delete;
};

template <int kTile>
static inline void tile_zero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}
template <int kTile>
static inline void tile_load(const Half* from, int64_t row_bytes) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(row_bytes), "i"(kTile) : "memory");
}
template <int kTile>
static inline void tile_store(float* to, int64_t row_bytes) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(row_bytes), "i"(kTile) : "memory");
}
template <int kSum, int kRow, int kColumn>
static inline void tile_product() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kRow), "i"(kColumn));
}

/// One or two tiles of factors in memory.
struct TileFactors {
  const Half* first;
  int64_t next;  ///< halves to the second
  int64_t row_bytes;
};

/// kRows x kColumns tiles of sums, and so many times over that four instructions are under way.
template <int kRows, int kColumns>
struct TileSums {
  static constexpr int kTiles = kRows * kColumns, kSplit = 4 / kTiles;
  int64_t steps = 0;

  TileSums() {
    tile_zero<0>();
    tile_zero<1>();
    tile_zero<2>();
    tile_zero<3>();
  }

  void add(const TileFactors& rows, const TileFactors& columns) {
    const int64_t part = steps++ % kSplit;
    if (part == 0) return add_to<0>(rows, columns);
    if constexpr (kSplit > 1) {
      if (part == 1) return add_to<kTiles>(rows, columns);
    }
    if constexpr (kSplit > 2) {
      if (part == 2) return add_to<2>(rows, columns);
      add_to<3>(rows, columns);
    }
  }

  /// kFirst: of the sums' registers.
  template <int kFirst>
  static void add_to(const TileFactors& rows, const TileFactors& columns) {
    tile_load<4>(rows.first, rows.row_bytes);
    if constexpr (kRows == 2) tile_load<5>(rows.first + rows.next, rows.row_bytes);
    tile_load<6>(columns.first, columns.row_bytes);
    if constexpr (kColumns == 2) tile_load<7>(columns.first + columns.next, columns.row_bytes);
    tile_product<kFirst, 4, 6>();
    if constexpr (kColumns == 2) tile_product<kFirst + 1, 4, 7>();
    if constexpr (kRows == 2) tile_product<kFirst + kColumns, 5, 6>();
    if constexpr (kRows == 2 && kColumns == 2) tile_product<kFirst + 3, 5, 7>();
  }

  /// Calls body(tile of rows, row, column, sum), row by row.
  template <class Body>
  void each(int64_t rows, Body&& body) const {
    alignas(64) float sums[4 * kTileFloats];
    constexpr int64_t kRowBytes = kVector * 4;
    tile_store<0>(sums, kRowBytes);
    tile_store<1>(sums + kTileFloats, kRowBytes);
    tile_store<2>(sums + 2 * kTileFloats, kRowBytes);
    tile_store<3>(sums + 3 * kTileFloats, kRowBytes);
    for (int tile = 0; tile < kRows; ++tile) {
      for (int64_t row = 0; row < rows; ++row) {
        for (int column = 0; column < kColumns; ++column) {
          const float* at = sums + (tile * kColumns + column) * kTileFloats + row * kVector;
          Vector total = load(at);
          for (int part = 1; part < kSplit; ++part) total += load(at + part * kTiles * kTileFloats);
          body(tile, row, column, total);
        }
      }
    }
  }
};

// As conv_pixels.
template <int kRows, int kVectors, int kPixels>
static void tile_pixels(const ConvPixel& at) {
  constexpr int64_t kLanes = kVectors * kVector;
  const SeriesGeometry& g = *at.geometry;
  const ConvStep& s = *at.step;
  const TileShape shape(g);
  const RunPlace place(g, at.first_channel);
  const int64_t pixel_floats = g.channels * kLanes, row_floats = g.width * pixel_floats;
  const TapRange rows = taps_inside(at.row, g.height, g.kernel_height);
  const TapRange columns = taps_inside(at.column, g.width, g.kernel_width);
  const Half* weights = halves(s.weights) + place.run * taps_of(g) * shape.run_halves();
  const Half* window = halves(s.u) + (at.row + rows.begin - g.kernel_height / 2) * row_floats +
                       (at.column + columns.begin - g.kernel_width / 2) * pixel_floats;
  int64_t offset = (at.row * g.width + at.column) * pixel_floats + at.first_channel * kLanes;
  const Outputs outputs(s);
  for (int64_t repeat = 0; repeat < at.repeats; ++repeat) {
    TileSums<kRows, kVectors * kPixels> sums;
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      for (int64_t column = columns.begin; column < columns.end; ++column) {
        const Half* u = window + (row - rows.begin) * row_floats + (column - columns.begin) * pixel_floats;
        const Half* w = weights + (row * g.kernel_width + column) * shape.run_halves();
        for (int64_t chunk = 0; chunk < shape.chunks; ++chunk, w += shape.tiles * shape.tile_halves()) {
          sums.add({w, shape.tile_halves(), shape.depth * 2},
                   {u + shape.chunk_begin(g, chunk) * kLanes, kVectors == 2 ? 2 * kVector : pixel_floats, kLanes * 4});
        }
      }
    }
    sums.each(shape.rows, [&](int64_t tile, int64_t row, int64_t column, Vector sum) {
      const int64_t o = tile * shape.rows + row;
      if (o >= place.size) return;
      outputs.put(offset + column / kVectors * pixel_floats + (o * kVectors + column % kVectors) * kVector, sum);
    });
    window += kPixels * pixel_floats;
    offset += kPixels * pixel_floats;
  }
}

// As product_pixels.
template <int kRows>
static void tile_products(const SeriesGeometry& g, const ConvStep& s, int64_t first_channel, int64_t begin,
                          int64_t end) {
  constexpr int64_t kLanes = 2 * kVector, kRowBytes = kLanes * 4;
  const TileShape shape(g);
  const RunPlace place(g, first_channel);
  const Half* weights = halves(s.weights) + place.run * shape.run_halves();
  for (int64_t pixel = begin; pixel < end; ++pixel) {
    const Half* u = halves(s.u) + pixel * g.channels * kLanes;
    float* out = s.out + (pixel * g.channels + first_channel) * kLanes;
    TileSums<kRows, 2> sums;
    for (int64_t chunk = 0; chunk < shape.chunks; ++chunk) {
      sums.template add_to<0>({weights + chunk * kRows * shape.tile_halves(), shape.tile_halves(), shape.depth * 2},
                              {u + shape.chunk_begin(g, chunk) * kLanes, 2 * kVector, kRowBytes});
    }
    if (place.size == kRows * shape.rows) {  // nothing is written beyond the run
      tile_store<0>(out, kRowBytes);
      tile_store<1>(out + kVector, kRowBytes);
      if constexpr (kRows == 2) {
        tile_store<2>(out + shape.rows * kLanes, kRowBytes);
        tile_store<3>(out + shape.rows * kLanes + kVector, kRowBytes);
      }
      continue;
    }
    sums.each(shape.rows, [&](int64_t tile, int64_t row, int64_t column, Vector sum) {
      const int64_t o = tile * shape.rows + row;
      if (o < place.size) store(out + o * kLanes + column * kVector, sum);
    });
  }
}

// As gradient_tile. The second tile of rows ends with the run and may have some of the first one's; where a run is one
// tile and shorter than the others, the first has one of the run before it.
template <int kRows, int kWide>
static void tile_gradient_tile(const GradientTile& t) {
  constexpr int64_t kColumns = kWide * kVector;
  const SeriesGeometry& g = *t.geometry;
  const int64_t lanes = t.step->vectors * kVector;
  const TileShape shape(g);
  const RunPlace place(g, t.first_channel);
  const int64_t last = place.size - shape.rows, first = kRows == 2 ? 0 : last;
  TileSums<kRows, kWide> sums;
  for (int64_t term = 0; term < t.step->terms; ++term) {
    for (int64_t row = 0; row < t.rows; ++row) {
      const Half* a =
          halves(t.step->a[term]) + ((t.out_pixel + row * g.width) * g.channels + t.first_channel + first) * lanes;
      const Half* in =
          halves(t.step->columns[term]) + t.column_offset + (t.in_pixel + row * g.width) * lanes * kColumns;
      for (int64_t column = 0; column < t.columns; ++column) {
        sums.add({a, last * lanes, lanes * 2}, {in, 2 * kVector, kColumns * 4});
        a += g.channels * lanes;
        in += lanes * kColumns;
      }
    }
  }
  sums.each(shape.rows, [&](int64_t tile, int64_t row, int64_t column, Vector sum) {
    const int64_t o = (tile == 0 ? first : last) + row;
    if (o < tile * shape.rows) return;
    float* to = t.to + o * kColumns + column * kVector;
    store(to, t.accumulate ? load(to) + sum : sum);
  });
}

/// One function for runs of every size.
template <class Function, Function kFunction, class Sizes = std::make_index_sequence<kLargestTileRun>>
struct SameForEveryRun;
template <class Function, Function kFunction, size_t... kSizes>
struct SameForEveryRun<Function, kFunction, std::index_sequence<kSizes...>> {
  static constexpr Function of[] = {(static_cast<void>(kSizes), kFunction)...};
};
template <int kRows, int kVectors, int kPixels>
using TilePixels = SameForEveryRun<ConvPixelFunction, tile_pixels<kRows, kVectors, kPixels>>;
template <int kRows>
using TileProducts = SameForEveryRun<ProductFunction, tile_products<kRows>>;
template <int kRows, int kWide>
using TileGradients = SameForEveryRun<GradientTileFunction, tile_gradient_tile<kRows, kWide>>;

static void tile_conv(const SeriesGeometry& g, const ConvStep& s) {
  const TileShape shape(g);
  const TilesHeld held(shape.rows, shape.depth);
  if (shape.tiles == 1)
    return conv_by({TilePixels<1, 1, 1>::of, TilePixels<1, 1, 2>::of, TilePixels<1, 2, 1>::of}, g, s);
  conv_by({TilePixels<2, 1, 1>::of, TilePixels<2, 1, 2>::of, TilePixels<2, 2, 1>::of}, g, s);
}

static void all_tile_products(const SeriesGeometry& g, const ConvStep& s) {
  const TileShape shape(g);
  const TilesHeld held(shape.rows, shape.depth);
  products_by(shape.tiles == 1 ? TileProducts<1>::of : TileProducts<2>::of, g, s);
}

static void tile_gradient(const SeriesGeometry& g, const GradientStep& s) {
  const TileShape shape(g);
  const TilesHeld held(shape.rows, s.vectors * kVector);
  if (shape.tiles == 1) return gradient_by({TileGradients<1, 1>::of, TileGradients<1, 2>::of}, g, s);
  gradient_by({TileGradients<2, 1>::of, TileGradients<2, 2>::of}, g, s);
}

static int64_t tile_weights_before(const SeriesGeometry& g, int64_t run) { return run * TileShape(g).run_halves(); }

static void pack_tiles(const SeriesGeometry& g, int64_t run, const float* from, float* to) {
  const TileShape shape(g);
  const int64_t size = run_begin(g, run + 1) - run_begin(g, run);
  const Half* taken = halves(from);
  Half* out = halves(to);
  for (int64_t chunk = 0; chunk < shape.chunks; ++chunk) {
    const int64_t begin = shape.chunk_begin(g, chunk), fresh = chunk * shape.depth;
    for (int64_t o = 0; o < shape.tiles * shape.rows; ++o) {
      for (int64_t in = begin; in < begin + shape.depth; ++in) {
        *out++ = o < size && in >= fresh ? taken[in * size + o] : Half{0};
      }
    }
  }
}

}  // namespace gsnet::cpu::GSNET_ISA
