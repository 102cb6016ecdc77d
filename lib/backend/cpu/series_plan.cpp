#include "backend/cpu/series_plan.h"

#include <omp.h>

#include <algorithm>

#include "backend/host/parallel.h"

namespace gsnet::cpu {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// An odd number of cache lines more than a multiple of 4 KB is never a multiple of 4 KB.
int64_t staggered(int64_t floats) { return ceil_div(floats, 16) * 16 + 16 * 9; }

/// The team size that makes the longest queue of work shortest; barriers make teams a little slower than threads alone.
int64_t best_team_size(int64_t tasks, int64_t threads) {
  int64_t best = 1;
  double best_cost = 0;
  for (int64_t size = 1; size <= threads; ++size) {
    const int64_t rounds = ceil_div(tasks, threads / size);
    const double cost = static_cast<double>(rounds) / static_cast<double>(size) * (size > 1 ? 1.05 : 1.0);
    if (size > 1 && cost >= best_cost) continue;
    best = size;
    best_cost = cost;
  }
  return best;
}

constexpr int64_t kWeightFloats = 48 * 1024;    // that stay in the second-level cache while pixels pass
constexpr int64_t kStepFloats = 40 * 1024;      // of tiles in and out, likewise, in a step
constexpr int64_t kGradientFloats = 96 * 1024;  // in a gradient
constexpr int64_t kLargeBlockFloats = 32 * 1024;
constexpr int64_t kFewestChannels = 9;      // for which transforms of tiles are worth it
constexpr int64_t kFewestSmallPixels = 64;  // for which sums over lanes at the end are few beside the others

SeriesGeometry geometry_of(int64_t vector, int64_t largest_run, const Shape& x, const Shape& k) {
  SeriesGeometry g = {};
  g.height = x[2];
  g.width = x[3];
  g.kernel_height = std::min(k[2], 2 * x[2] - 1);
  g.kernel_width = std::min(k[3], 2 * x[3] - 1);
  g.channels = k[1];
  g.runs = ceil_div(g.channels, largest_run);
  g.run_channels = g.channels / g.runs;
  g.longer_runs = g.channels % g.runs;
  const int64_t most = std::max<int64_t>(1, kWeightFloats * g.runs / (g.channels * g.channels * taps_of(g)));
  g.runs_at_once = ceil_div(g.runs, ceil_div(g.runs, most));
  g.rows_at_once = std::max<int64_t>(1, 32 / g.width);
  g.columns = ceil_div(g.channels, vector) * vector;
  return g;
}

/// The form with the fewest products, if it saves a third or more.
void choose_tiles(const SeriesKernels& kernels, SeriesPlan& plan) {
  const SeriesGeometry& g = plan.geometry;
  if (g.kernel_height != 3 || g.kernel_width != 3) return;
  if (g.channels < kFewestChannels || 2 * g.channels <= kernels.vector) return;
  const bool two = g.height == 2 && g.width == 2;
  const TileKernels& tiles = two ? kernels.whole_of_2 : kernels.tiles_of_4;
  const int64_t high = ceil_div(g.height, tiles.outputs), wide = ceil_div(g.width, tiles.outputs);
  const int64_t direct = (3 * g.height - 2) * (3 * g.width - 2);
  if (3 * high * wide * tiles.products * tiles.products > 2 * direct) return;
  plan.tiles = &tiles;
  plan.spread = tiles.spread;
  plan.spread_outputs = tiles.spread_outputs;
  if (plan.reduced != nullptr) {
    const ReducedTileKernels& reduced = two ? plan.reduced->whole_of_2 : plan.reduced->tiles_of_4;
    plan.spread = reduced.spread;
    plan.spread_outputs = reduced.spread_outputs;
    plan.spread_pairs = reduced.spread_pairs;
  }
  plan.tiles_high = high;
  plan.tiles_wide = wide;
}

/// Likewise, for groups of few channels.
void choose_lines(const SeriesKernels& kernels, SeriesPlan& plan) {
  const SeriesGeometry& g = plan.geometry;
  const LineKernels& lines = kernels.lines_of_4;
  if (g.kernel_height != 3 || g.kernel_width != 3 || g.channels > lines.most_channels) return;
  if (3 * ceil_div(g.width, lines.outputs) * lines.products > 2 * (3 * g.width - 2)) return;
  plan.line_gradient = &lines;
  if (plan.reduced == nullptr) plan.lines = &lines;
}

constexpr int64_t kLineFloats = 16;  // of a line of the caches

/// Blocks of two vectors of images use each weight twice; where they fill the second-level cache and the weights are
/// few beside them, blocks of one vector are faster, if it has two tiles that share weights.
void choose_blocks(SeriesPlan& plan) {
  const SeriesGeometry& g = plan.geometry;
  const int64_t vector = plan.kernels->vector, block = 2 * vector * pixels_of(g) * g.channels;
  const bool one_tile = plan.tiles != nullptr && plan.tiles_high * plan.tiles_wide == 1;
  const bool large = block >= kLargeBlockFloats && plan.weight_floats() <= 10 * block;
  plan.vectors = (large && !one_tile && !plan.paired()) || (plan.lines != nullptr && g.width > 4) ? 1 : 2;
  const int64_t lanes = plan.vectors * vector;
  plan.blocks = ceil_div(plan.images, lanes);
  plan.last_vectors = ceil_div(plan.images - (plan.blocks - 1) * lanes, vector);
  plan.groups_in_turn = g.channels % kLineFloats != 0 && plan.groups * plan.weight_floats() <= kWeightFloats;
  if (plan.tiles == nullptr) return;
  const int64_t tile = 2 * plan.products() * g.channels * lanes, tiles = plan.tiles_high * plan.tiles_wide;
  const int64_t fewest = std::min<int64_t>(2 / plan.vectors, tiles);  // of one vector two, which share weights
  plan.tiles_a_step = std::clamp<int64_t>(kStepFloats / tile, fewest, tiles);
  plan.tiles_a_gradient = std::clamp<int64_t>(kGradientFloats / tile, 1, tiles);
  plan.gradient_waits = plan.gradient_floats() > kGradientFloats;
}

}  // namespace

SeriesPlan plan_series(const SeriesKernels& kernels, const Shape& x, const Shape& k, const SeriesSpec& spec,
                       int threads) {
  SeriesPlan plan = {};
  plan.kernels = &kernels;
  if (spec.products == SeriesProducts::bf16 && k[1] % 2 == 0) plan.reduced = kernels.reduced;
  plan.geometry =
      geometry_of(kernels.vector, plan.reduced != nullptr ? plan.reduced->largest_run : kernels.largest_run, x, k);
  plan.images = x[0];
  plan.groups = spec.groups;
  plan.channels = x[1];
  plan.kernel_height = k[2];
  plan.kernel_width = k[3];
  if (spec.products != SeriesProducts::direct) {
    choose_lines(kernels, plan);
    if (plan.line_gradient == nullptr) choose_tiles(kernels, plan);
  }
  const SeriesGeometry& g = plan.geometry;
  plan.small_gradient = plan.tiles == nullptr && plan.line_gradient == nullptr && 2 * g.channels <= kernels.vector &&
                        taps_of(g) <= kMostSmallTaps && pixels_of(g) >= kFewestSmallPixels;
  choose_blocks(plan);
  if (omp_in_parallel() != 0) threads = 1;  // teams must be complete
  plan.team_size = best_team_size(plan.tasks(), threads);
  plan.teams = std::min(threads / plan.team_size, plan.tasks());
  return plan;
}

int64_t SeriesPlan::buffer_floats() const {
  return staggered(pixels_of(geometry) * geometry.channels * most_vectors() * kernels->vector);
}

int64_t SeriesPlan::column_floats() const {
  if (by_lanes()) return 0;
  return staggered(pixels_of(geometry) * geometry.columns * most_vectors() * kernels->vector);
}

int64_t SeriesPlan::gradient_floats() const {
  if (line_gradient != nullptr) {
    const int64_t sums = line_gradient->products * geometry.kernel_height * geometry.channels * geometry.channels;
    return staggered(sums * kernels->vector);
  }
  return staggered(geometry.columns * geometry.channels * products());
}

SeriesGeometry SeriesPlan::tile_row(int64_t count) const {
  SeriesGeometry row = geometry;
  row.height = row.kernel_height = row.kernel_width = 1;
  row.width = count;
  row.runs_at_once = row.rows_at_once = 1;
  return row;
}

int64_t SeriesPlan::frequency_floats(int64_t count) const {
  const int64_t even = ceil_div(count, 2) * 2;
  return staggered(even * geometry.channels * most_vectors() * kernels->vector);
}

int64_t SeriesPlan::column_frequency_floats() const {
  return staggered(tiles_a_gradient * geometry.columns * most_vectors() * kernels->vector);
}

int64_t SeriesPlan::output_frequency_floats() const {
  return staggered(tiles_a_gradient * geometry.channels * most_vectors() * kernels->vector);
}

int64_t SeriesPlan::saved_offset(int64_t task) const {
  return (group_of(task) * group_vectors() + block_of(task) * vectors) * vector_floats();
}

bool SeriesPlan::first_of_group(int64_t team, int64_t task) const {
  if (groups_in_turn) return task < first_task(team) + groups;
  return task == first_task(team) || task % blocks == 0;
}

bool SeriesPlan::last_of_run(int64_t team, int64_t task) const {
  return task + 1 == first_task(team + 1) || group_of(task + 1) != group_of(task) ||
         vectors_of(task + 1) != vectors_of(task);
}

// Consecutive tasks: where groups do not come in turn, the pairs of team and group that occur are, in order, numbered
// by team + group.
bool SeriesPlan::works_on(int64_t team, int64_t group) const {
  const int64_t first = first_task(team), last = first_task(team + 1);
  if (!groups_in_turn) return first < (group + 1) * blocks && last > group * blocks;
  return first + (group - first % groups + groups) % groups < last;
}

BlockView SeriesPlan::view(const Tensor& x, int64_t task) const {
  const int64_t lanes = vectors * kernels->vector, first = block_of(task) * lanes,
                image = pixels_of(geometry) * channels;
  return {x.data<float>() + first * image + group_of(task) * geometry.channels, image, channels,
          std::min(lanes, images - first)};
}

int64_t SeriesPlan::terms_at_once(int64_t degree) const {
  if (gradient_waits || by_lanes()) return 1;
  return std::clamp<int64_t>(32 / pixels_of(geometry), 1, degree);
}

int64_t SeriesPlan::whole_tap(int64_t tap) const {
  const int64_t down = (kernel_height - geometry.kernel_height) / 2, right = (kernel_width - geometry.kernel_width) / 2;
  return (tap / geometry.kernel_width + down) * kernel_width + tap % geometry.kernel_width + right;
}

namespace {

/// One run's weights as [tap][in][channel of the run], some inputs at a time: what is read in lines is written in the
/// first-level cache.
void pack_run(const SeriesPlan& plan, const float* k, int64_t first, int64_t size, float* to) {
  constexpr int64_t kInputs = 16;
  const SeriesGeometry& g = plan.geometry;
  const int64_t taps = taps_of(g), whole_taps = plan.kernel_height * plan.kernel_width;
  std::vector<int64_t> where(static_cast<size_t>(taps));
  for (int64_t tap = 0; tap < taps; ++tap) where[static_cast<size_t>(tap)] = plan.whole_tap(tap);
  for (int64_t begin = 0; begin < g.channels; begin += kInputs) {
    const int64_t end = std::min(begin + kInputs, g.channels);
    for (int64_t o = 0; o < size; ++o) {
      const float* from = k + (first + o) * g.channels * whole_taps;
      for (int64_t tap = 0; tap < taps; ++tap) {
        float* out = to + tap * g.channels * size + o;
        const float* in = from + where[static_cast<size_t>(tap)];
        for (int64_t i = begin; i < end; ++i) out[i * size] = in[i * whole_taps];
      }
    }
  }
}

/// One tap or frequency of a run, rounded and packed; `from` has floats to spare for a whole vector.
void pack_reduced(const SeriesPlan& plan, int64_t run, const float* from, int64_t count, float* to) {
  std::vector<float> rounded(static_cast<size_t>(count + plan.kernels->vector));
  plan.reduced->round(from, rounded.data(), count);
  plan.reduced->pack(plan.geometry, run, rounded.data(), to);
}

/// The same run's weights for products of bf16, in `to`, all of the group.
void pack_reduced_run(const SeriesPlan& plan, const float* group, int64_t run, float* to) {
  const SeriesGeometry& g = plan.geometry;
  const int64_t first = run_begin(g, run), size = run_begin(g, run + 1) - first, spare = plan.kernels->vector;
  const int64_t count = g.channels * size, before = plan.weights_before(run);
  std::vector<float> taps(static_cast<size_t>(count * taps_of(g) + spare));
  pack_run(plan, group, first, size, taps.data());
  if (plan.tiles == nullptr) {
    const int64_t own = plan.weights_before(run + 1) - before;
    for (int64_t tap = 0; tap < taps_of(g); ++tap) {
      pack_reduced(plan, run, taps.data() + tap * count, count, half_at(to, before * taps_of(g) + tap * own));
    }
    return;
  }
  std::vector<float> frequencies(static_cast<size_t>(count * plan.products() + spare));
  plan.tiles->kernel(taps.data(), count, frequencies.data(), count, count);
  for (int64_t f = 0; f < plan.products(); ++f) {
    pack_reduced(plan, run, frequencies.data() + f * count, count,
                 half_at(to, f * plan.weights_before(g.runs) + before));
  }
}

}  // namespace

void pack_series_weights(const SeriesPlan& plan, const float* k, int threads, float* packed) {
  const SeriesGeometry& g = plan.geometry;
  const int64_t square = g.channels * g.channels, work = square / g.runs * plan.products() * 2;
  host::parallel_for(threads, plan.groups * g.runs, work, [&](int64_t begin, int64_t end) {
    std::vector<float> taps;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t run = item % g.runs, first = run_begin(g, run), size = run_begin(g, run + 1) - first;
      const float* group = k + item / g.runs * square * plan.kernel_height * plan.kernel_width;
      float* to = packed + item / g.runs * plan.weight_floats();
      if (plan.reduced != nullptr) {
        pack_reduced_run(plan, group, run, to);
        continue;
      }
      if (plan.form() == nullptr) {
        pack_run(plan, group, first, size, to + first * g.channels * taps_of(g));
        continue;
      }
      const int64_t count = g.channels * size;
      taps.resize(static_cast<size_t>(count * taps_of(g)));
      pack_run(plan, group, first, size, taps.data());
      if (plan.lines != nullptr) {
        plan.lines->kernel(taps.data(), to + first * g.channels * plan.products(), count);
      } else {
        plan.tiles->kernel(taps.data(), count, to + first * g.channels, square, count);
      }
    }
  });
}

}  // namespace gsnet::cpu
