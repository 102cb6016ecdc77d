// What the series kernels of one instruction set offer: plain functions on plain data, so that a file compiled with
// special flags shares no code with others.
//
// Blocks. Work is cut into blocks of images within one group: `lanes` images (one or two vectors) side by side, in
// scratch [pixel][channel][lane]. Output channels are cut into runs of nearly equal size, at most `largest_run`.
//   weights   [run][tap][in][channel of the run]
//   columns   [column block][pixel][lane][in of the block]: a block transposed; a column block is two vectors of input
//             channels, the last one may be one vector; missing channels are zeros
//   gradient  [column block][run][tap][channel of the run][in of the block]
#pragma once

#include <cstdint>

namespace gsnet::cpu {

/// One group of a convolution with "same" padding, and how its channels are cut.
struct SeriesGeometry {
  int64_t height, width, kernel_height, kernel_width;
  int64_t channels;      ///< of the group, in and out
  int64_t runs;          ///< of output channels
  int64_t run_channels;  ///< in the shorter runs
  int64_t longer_runs;   ///< that have one more, and come first
  int64_t runs_at_once;  ///< how many runs pass over a pixel before the next pixel
  int64_t rows_at_once;  ///< rows of the picture in one pass of the weight gradient
  int64_t columns;       ///< input channels padded to whole vectors
};

// Of internal linkage, here and in the kernels: code compiled with special flags must not be shared.
static inline int64_t pixels_of(const SeriesGeometry& g) { return g.height * g.width; }
static inline int64_t taps_of(const SeriesGeometry& g) { return g.kernel_height * g.kernel_width; }
static inline int64_t run_begin(const SeriesGeometry& g, int64_t run) {
  return run * g.run_channels + (run < g.longer_runs ? run : g.longer_runs);
}

/// A block of images of one group in a channels-last tensor.
struct BlockView {
  float* first;          ///< the group's first channel of the first image's first pixel
  int64_t image_stride;  ///< floats from image to image
  int64_t pixel_stride;  ///< floats from pixel to pixel
  int64_t images;        ///< no more than there are lanes; other lanes are zeros
};

/// Where a channel of a series lies in arrays of all groups of a block: floats from one to the next are the caller's.
struct ChannelPlace {
  int32_t group;  ///< -1: nowhere
  int32_t channel;
};

/// All groups of a block from a channels-last tensor, `block` x `block` of whose pixels are one: scale times it.
struct SpreadPixels {
  const float* x;         ///< the first image
  int64_t image_stride;   ///< floats from image to image
  int64_t images, lanes;  ///< images no more than lanes; further lanes are zeros
  int64_t block;
  int64_t channels;           ///< of x
  const ChannelPlace* place;  ///< [pixel of the block][channel]
  const ChannelPlace* empty;  ///< those that nothing goes to: zeros
  int64_t empties;
  float scale;
  float* to;  ///< [group][pixel][channel][lane]
  int64_t group_floats;
  int64_t begin, end;  ///< rows of the series' picture
};

/// The other way: y[channel] = the channel at its place (0 where that is nowhere) + bias.
struct GatherPixels {
  const float* from;  ///< [group][pixel][channel][lane]
  int64_t group_floats;
  int64_t images, lanes;
  int64_t block;
  int64_t channels;           ///< of y
  const ChannelPlace* place;  ///< [pixel of the block][channel]
  const float* bias;          ///< may be null
  float* y;
  int64_t image_stride;
  int64_t begin, end;  ///< rows of the series' picture
};

/// out = alpha x + beta J u;  sum = sum_in + out. x, sum_in and sum may be null; x may be out. kept: null, or where out
/// goes too, past the caches, at an address that a vector may have.
struct ConvStep {
  const float* u;
  const float* weights;
  const float* x;
  float* out;
  float* kept;
  const float* sum_in;
  float* sum;
  float alpha, beta;
  int64_t vectors;     ///< of images
  int64_t begin, end;  ///< the part of runs x pixels to do
};

/// gradient (+)= sum over terms, pixels, lanes of a_t[out] columns_t[in at the tap].
struct GradientStep {
  const float* const* a;
  const float* const* columns;
  int64_t terms;
  float* gradient;
  bool accumulate;
  int64_t vectors;     ///< of images
  int64_t begin, end;  ///< the part of column blocks x runs to do
};

/// gradient (+)= scale times the sum over pixels and lanes of a[out] u[in at the tap], of one term, for groups of few
/// channels; of the one column block's missing channels nothing is written.
struct SmallGradientStep {
  const float* a;
  const float* u;
  float scale;
  float* gradient;
  bool accumulate;
  int64_t vectors;     ///< of images
  int64_t begin, end;  ///< the taps to do
};
constexpr int64_t kMostSmallTaps = 9;

/// A step over tiles: `width` vectors of a pixel (or tile) lie beside each other. Tiles are counted row by row, of the
/// whole picture; arrays of frequencies hold those from first_tile on, `together` neighbours vector by vector in turn,
/// as if they were one tile of more images.
struct TileStep {
  const float* from;
  float* to;
  int64_t frequency_stride;  ///< floats
  int64_t together;
  int64_t tiles_wide;  ///< in a row of the picture
  int64_t first_tile;
  int64_t width;
  int64_t begin, end;  ///< the part of tiles x width to do
};

/// A 3x3 convolution by fewer multiplications: inputs of a tile are spread to products x products frequencies, each
/// of which is a product over channels as of a 1x1 convolution, and gathered to outputs x outputs pixels.
struct TileKernels {
  int64_t outputs, products;  ///< along an axis

  /// to[frequency][tiles][n][tile of these] from from[pixel][n].
  void (*spread)(const SeriesGeometry&, const TileStep&);
  /// The adjoint of gather: the same from gradients of its outputs.
  void (*spread_outputs)(const SeriesGeometry&, const TileStep&);
  /// From from[frequency][tiles][n][tile of these]; where to, and with what added, is in the convolution's step.
  void (*gather)(const SeriesGeometry&, const TileStep&, const ConvStep&);
  /// Frequencies of a kernel from its 9 taps, element by element of arrays of `count`; and the adjoint.
  void (*kernel)(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t count);
  void (*kernel_adjoint)(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t count);
};

/// A 3x3 convolution by fewer multiplications along rows only, for groups of few channels: a tile of `outputs` pixels
/// of a row is spread to `products` frequencies, each of which is summed over the kernel's three rows.
///   weights   [run][frequency][row of the kernel][in][channel of the run]
///   gradient  [frequency][row of the kernel][out][in][lane], lanes not yet added up
struct LineKernels {
  int64_t outputs, products;
  int64_t most_channels;  ///< of a group, for which these are faster than tiles

  /// Floats of scratch for conv.
  int64_t (*scratch)(const SeriesGeometry&, int64_t vectors);
  /// Rows [begin, end) of the picture of a step.
  void (*conv)(const SeriesGeometry&, const ConvStep&, float* scratch);
  /// One run's weights from [tap][count].
  void (*kernel)(const float* from, float* to, int64_t count);
  /// The same for a gradient; begin and end of its step count frequencies.
  int64_t (*gradient_scratch)(const SeriesGeometry&);
  void (*gradient)(const SeriesGeometry&, const SmallGradientStep&, float* scratch);
  /// One run's gradient [tap][channel of the run][in], input channels padded.
  void (*taps)(const SeriesGeometry&, const float* gradient, int64_t run, float* to);
};

/// The same with operands of bf16, sums in float. Arrays of bf16 lie in the memory of floats and are laid out as these,
/// but for pairs of what is summed over, which lie beside each other:
///   columns  [column block][pixel or tile][lane / 2][in of the block][2]
///   u and its frequencies, where they are `paired`: [pixel or tile][in / 2][lane][2]
/// u, weights, columns and frequencies are bf16, and a of a gradient; channels are even.
struct ReducedTileKernels {
  void (*spread)(const SeriesGeometry&, const TileStep&);
  void (*spread_outputs)(const SeriesGeometry&, const TileStep&);
  /// Of whole tiles, from [pixel][n][wide], pairs of n: of columns, and of u.
  void (*spread_pairs)(const SeriesGeometry&, const TileStep&, int64_t wide);
};

struct ReducedKernels {
  const char* name;
  int64_t largest_run;  ///< of output channels
  bool paired;          ///< see above; products are fast with two vectors of images only
  void (*round)(const float* from, float* to, int64_t count);
  /// Pairs of rows of `wide`: [rows / 2][wide][2] from [rows][wide].
  void (*round_pairs)(const float* from, float* to, int64_t rows, int64_t wide);
  /// Where the weights of one tap or frequency of a run begin, in halves; of run number `runs`, where they end. No more
  /// than twice as many as there are weights.
  int64_t (*weights_before)(const SeriesGeometry&, int64_t run);
  /// One tap or frequency of a run, from halves [in][channel of the run].
  void (*pack)(const SeriesGeometry&, int64_t run, const float* from, float* to);
  void (*conv)(const SeriesGeometry&, const ConvStep&);
  void (*products)(const SeriesGeometry&, const ConvStep&);
  void (*gradient)(const SeriesGeometry&, const GradientStep&);
  ReducedTileKernels whole_of_2, tiles_of_4;
};

struct SeriesKernels {
  const char* name;
  bool fused;           ///< multiply-adds round once
  int64_t vector;       ///< floats in one
  int64_t largest_run;  ///< of output channels

  /// out = scale times the view; pixels [begin, end).
  void (*load)(const SeriesGeometry&, const BlockView&, float scale, int64_t vectors, float* out, int64_t begin,
               int64_t end);
  void (*store)(const SeriesGeometry&, const float* from, int64_t vectors, const BlockView&, int64_t begin,
                int64_t end);
  void (*spread_pixels)(const SeriesGeometry&, const SpreadPixels&);
  void (*gather_pixels)(const SeriesGeometry&, const GatherPixels&);
  /// columns = scale times the block u; pixels [begin, end).
  void (*columns)(const SeriesGeometry&, const float* u, float scale, int64_t vectors, float* out, int64_t begin,
                  int64_t end);
  void (*conv)(const SeriesGeometry&, const ConvStep&);
  /// What this thread's steps kept is seen by others from now on.
  void (*publish_kept)();
  /// out = J u of a 1x1 kernel on a row of pixels, of two vectors, run by run; the step's other members are not read.
  void (*products)(const SeriesGeometry&, const ConvStep&);
  void (*gradient)(const SeriesGeometry&, const GradientStep&);
  /// For groups of at most half a vector and kernels of at most kMostSmallTaps.
  void (*small_gradient)(const SeriesGeometry&, const SmallGradientStep&);

  TileKernels whole_of_2;  ///< pictures of 2 x 2: 9 products for 16
  TileKernels tiles_of_4;  ///< 4 x 4 pixels by 36 products for 144
  LineKernels lines_of_4;  ///< 4 pixels of a row by 18 products for 36

  const ReducedKernels* reduced;  ///< null: the processor has no products of bf16
};

/// Compiled for this instruction set, whether or not the processor has it.
const SeriesKernels& series_kernels_base();
const SeriesKernels& series_kernels_avx2();
const SeriesKernels& series_kernels_avx512();

const ReducedKernels& reduced_kernels();
const ReducedKernels& reduced_kernels_amx();

/// The best that the processor has.
const SeriesKernels& series_kernels();

}  // namespace gsnet::cpu
