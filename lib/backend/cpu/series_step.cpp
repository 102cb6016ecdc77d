#include "backend/cpu/series_step.h"

#include <algorithm>

namespace gsnet::cpu {
namespace {

/// Tiles [first, first + count) of a picture.
struct Chunk {
  int64_t first, count;
};

template <class Body>
void each_chunk(const SeriesPlan& plan, int64_t at_once, Body&& body) {
  const int64_t tiles = plan.tiles_high * plan.tiles_wide;
  for (int64_t first = 0; first < tiles; first += at_once) body(Chunk{first, std::min(at_once, tiles - first)});
}

TileStep tile_step(const SeriesPlan& plan, const Member& member, Chunk chunk, int64_t width) {
  const Share part = member.share(chunk.count * width);
  TileStep s = {};
  s.tiles_wide = plan.tiles_wide;
  s.first_tile = chunk.first;
  s.together = 1;
  s.width = width;
  s.begin = part.begin;
  s.end = part.end;
  return s;
}

/// Calls body(frequency, begin, end) for the member's part of `items` at every frequency.
template <class Body>
void each_frequency(int64_t frequencies, const Member& member, int64_t items, Body&& body) {
  const Share part = member.share(frequencies * items);
  for (int64_t f = part.begin / items; f * items < part.end; ++f) {
    body(f, std::max(part.begin - f * items, int64_t{0}), std::min(part.end - f * items, items));
  }
}

void step_by_tiles(const SeriesPlan& plan, const Member& member, int64_t task, const ConvStep& step, float* scratch) {
  const SeriesGeometry& g = plan.geometry;
  const int64_t stride = plan.frequency_floats(plan.tiles_a_step), square = g.channels * g.channels;
  float* in = scratch;
  float* out = scratch + plan.products() * stride;
  const int64_t together = std::min(2 / step.vectors, plan.tiles_a_step);  // every weight loaded is used twice
  each_chunk(plan, plan.tiles_a_step, [&](Chunk chunk) {
    TileStep tiles = tile_step(plan, member, chunk, g.channels * step.vectors);
    tiles.frequency_stride = stride;
    tiles.together = together;
    if (task >= 0) {
      tiles.from = step.u;
      tiles.to = in;
      plan.tiles->spread(g, tiles);
    }
    member.meet();
    if (task >= 0) {
      const SeriesGeometry row = plan.tile_row((chunk.count + together - 1) / together);
      each_frequency(plan.products(), member, g.runs * row.width, [&](int64_t f, int64_t begin, int64_t end) {
        ConvStep product = {};
        product.u = in + f * stride;
        product.weights = step.weights + f * square;
        product.out = out + f * stride;
        product.beta = 1;
        product.vectors = step.vectors * together;
        product.begin = begin;
        product.end = end;
        (product.vectors == 2 ? plan.kernels->products : plan.kernels->conv)(row, product);
      });
    }
    member.meet();
    if (task >= 0) {
      tiles.from = out;
      tiles.to = nullptr;
      plan.tiles->gather(g, tiles, step);
    }
  });
}

int64_t column_blocks(const SeriesPlan& plan) { return (plan.geometry.columns / plan.kernels->vector + 1) / 2; }

/// Floats of the frequencies of one term, of columns and of a.
int64_t term_floats(const SeriesPlan& plan) {
  return plan.products() * (plan.column_frequency_floats() + plan.frequency_floats(plan.tiles_a_gradient));
}

void spread_term(const SeriesPlan& plan, const Member& member, Chunk chunk, int64_t vectors, const float* a,
                 const float* columns, float* scratch) {
  const SeriesGeometry& g = plan.geometry;
  const int64_t vector = plan.kernels->vector, lanes = vectors * vector;
  for (int64_t in = 0; in < g.columns; in += 2 * vector) {
    const int64_t wide = std::min(g.columns - in, 2 * vector);
    TileStep tiles = tile_step(plan, member, chunk, lanes * wide / vector);
    tiles.frequency_stride = plan.column_frequency_floats();
    tiles.from = columns + in * pixels_of(g) * lanes;
    tiles.to = scratch + in * chunk.count * lanes;
    plan.tiles->spread(g, tiles);
  }
  TileStep tiles = tile_step(plan, member, chunk, g.channels * vectors);
  tiles.frequency_stride = plan.frequency_floats(plan.tiles_a_gradient);
  tiles.from = a;
  tiles.to = scratch + plan.products() * plan.column_frequency_floats();
  plan.tiles->spread_outputs(g, tiles);
}

void gradient_by_tiles(const SeriesPlan& plan, const Member& member, int64_t task, const GradientTerms& terms,
                       float* scratch) {
  const SeriesGeometry& g = plan.geometry;
  const size_t count = terms.a.size();
  std::vector<const float*> a(count), columns(count);
  each_chunk(plan, plan.tiles_a_gradient, [&](Chunk chunk) {
    member.meet();  // the chunk before is used up
    for (size_t t = 0; task >= 0 && t < count; ++t) {
      spread_term(plan, member, chunk, plan.vectors_of(task), terms.a[t], terms.columns[t],
                  scratch + static_cast<int64_t>(t) * term_floats(plan));
    }
    member.meet();
    if (task < 0) return;
    const SeriesGeometry row = plan.tile_row(chunk.count);
    each_frequency(plan.products(), member, column_blocks(plan) * g.runs, [&](int64_t f, int64_t begin, int64_t end) {
      for (size_t t = 0; t < count; ++t) {
        columns[t] = scratch + static_cast<int64_t>(t) * term_floats(plan) + f * plan.column_frequency_floats();
        a[t] = scratch + static_cast<int64_t>(t) * term_floats(plan) +
               plan.products() * plan.column_frequency_floats() + f * plan.frequency_floats(plan.tiles_a_gradient);
      }
      plan.kernels->gradient(
          row, {a.data(), columns.data(), static_cast<int64_t>(count), terms.gradient + f * g.columns * g.channels,
                terms.accumulate || chunk.first > 0, plan.vectors_of(task), begin, end});
    });
  });
}

}  // namespace

int64_t step_scratch_floats(const SeriesPlan& plan) {
  return plan.tiles != nullptr ? 2 * plan.products() * plan.frequency_floats(plan.tiles_a_step) : 0;
}

void series_step(const SeriesPlan& plan, const Member& member, int64_t task, ConvStep step, float* scratch) {
  const SeriesGeometry& g = plan.geometry;
  if (task >= 0) step.vectors = plan.vectors_of(task);
  if (plan.tiles != nullptr) return step_by_tiles(plan, member, task, step, scratch);
  if (task < 0) return;
  const Share part = member.share(g.runs * pixels_of(g));
  step.begin = part.begin;
  step.end = part.end;
  plan.kernels->conv(g, step);
}

int64_t gradient_scratch_floats(const SeriesPlan& plan, int64_t terms) {
  return plan.tiles != nullptr ? terms * term_floats(plan) : 0;
}

void series_gradient(const SeriesPlan& plan, const Member& member, int64_t task, const GradientTerms& terms,
                     float* scratch) {
  if (plan.tiles != nullptr) return gradient_by_tiles(plan, member, task, terms, scratch);
  member.meet();
  if (task < 0) return;
  const Share part = member.share(column_blocks(plan) * plan.geometry.runs);
  plan.kernels->gradient(plan.geometry,
                         {terms.a.data(), terms.columns.data(), static_cast<int64_t>(terms.a.size()), terms.gradient,
                          terms.accumulate, plan.vectors_of(task), part.begin, part.end});
}

const float* gradient_taps(const SeriesPlan& plan, const float* gradient, int64_t block, int64_t run,
                           std::vector<float>& scratch) {
  const SeriesGeometry& g = plan.geometry;
  const int64_t wide = std::min(g.columns - block, 2 * plan.kernels->vector);
  const int64_t first = run_begin(g, run), count = (run_begin(g, run + 1) - first) * wide;
  const int64_t before = block * g.channels + first * wide;
  if (plan.tiles == nullptr) return gradient + before * taps_of(g);
  scratch.resize(static_cast<size_t>(count * taps_of(g)));
  plan.tiles->kernel_adjoint(gradient + before, g.columns * g.channels, scratch.data(), count, count);
  return scratch.data();
}

}  // namespace gsnet::cpu
