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
void each_frequency(const SeriesPlan& plan, const Member& member, int64_t items, Body&& body) {
  const Share part = member.share(plan.products() * items);
  for (int64_t f = part.begin / items; f * items < part.end; ++f) {
    body(f, std::max(part.begin - f * items, int64_t{0}), std::min(part.end - f * items, items));
  }
}

/// Element i of an array that holds bf16 where products are reduced.
template <class Float>
Float* array_at(const SeriesPlan& plan, Float* array, int64_t i) {
  return plan.reduced == nullptr ? array + i : half_at(array, i);
}

/// A product over channels at every place of a row.
void multiply(const SeriesPlan& plan, const SeriesGeometry& row, const ConvStep& product) {
  if (plan.reduced != nullptr) {
    (product.vectors == 2 ? plan.reduced->products : plan.reduced->conv)(row, product);
  } else {
    (product.vectors == 2 ? plan.kernels->products : plan.kernels->conv)(row, product);
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
      plan.spread(g, tiles);
    }
    member.meet();
    if (task >= 0) {
      const SeriesGeometry row = plan.tile_row((chunk.count + together - 1) / together);
      each_frequency(plan, member, g.runs * row.width, [&](int64_t f, int64_t begin, int64_t end) {
        ConvStep product = {};
        product.u = array_at(plan, in, f * stride);
        product.weights = array_at(plan, step.weights, f * square);
        product.out = out + f * stride;
        product.beta = 1;
        product.vectors = step.vectors * together;
        product.begin = begin;
        product.end = end;
        multiply(plan, row, product);
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
    tiles.to = array_at(plan, scratch, in * chunk.count * lanes);
    if (plan.spread_column_pairs != nullptr) {  // pairs of lanes: whole tiles
      const Share part = member.share(chunk.count);
      tiles.begin = part.begin * tiles.width;
      tiles.end = part.end * tiles.width;
      plan.spread_column_pairs(g, tiles, wide);
    } else {
      plan.spread(g, tiles);
    }
  }
  TileStep tiles = tile_step(plan, member, chunk, g.channels * vectors);
  tiles.frequency_stride = plan.frequency_floats(plan.tiles_a_gradient);
  tiles.from = a;
  tiles.to = scratch + plan.products() * plan.column_frequency_floats();
  plan.spread_outputs(g, tiles);
}

auto gradient_kernel(const SeriesPlan& plan) {
  return plan.reduced != nullptr ? plan.reduced->gradient : plan.kernels->gradient;
}

/// Rounds a block, and pairs up the lanes of its columns, for direct products of bf16.
void reduce_term(const SeriesPlan& plan, const Member& member, int64_t vectors, const float* a, const float* columns,
                 float* reduced_a, float* reduced_columns) {
  const int64_t vector = plan.kernels->vector, lanes = vectors * vector;
  const Share pixels = member.share(pixels_of(plan.geometry));
  const int64_t pixel_floats = plan.geometry.channels * lanes;
  plan.reduced->round(a + pixels.begin * pixel_floats, array_at(plan, reduced_a, pixels.begin * pixel_floats),
                      (pixels.end - pixels.begin) * pixel_floats);
  for (int64_t in = 0; in < plan.geometry.columns; in += 2 * vector) {
    const int64_t wide = std::min(plan.geometry.columns - in, 2 * vector);
    const int64_t first = (in * pixels_of(plan.geometry) + pixels.begin * wide) * lanes;
    plan.reduced->round_pairs(columns + first, array_at(plan, reduced_columns, first),
                              (pixels.end - pixels.begin) * lanes, wide);
  }
}

int64_t reduced_term_floats(const SeriesPlan& plan) { return plan.buffer_floats() + plan.column_floats(); }

/// As gradient_by_tiles.
void reduced_gradient(const SeriesPlan& plan, const Member& member, int64_t task, const GradientTerms& terms,
                      float* scratch) {
  std::vector<const float*> a, columns;
  for (size_t t = 0; t < terms.a.size(); ++t) {
    float* at = scratch + static_cast<int64_t>(t) * reduced_term_floats(plan);
    if (task >= 0) {
      reduce_term(plan, member, plan.vectors_of(task), terms.a[t], terms.columns[t], at, at + plan.buffer_floats());
    }
    a.push_back(at);
    columns.push_back(at + plan.buffer_floats());
  }
  member.meet();
  if (task < 0) return;
  const Share part = member.share(column_blocks(plan) * plan.geometry.runs);
  plan.reduced->gradient(plan.geometry, {a.data(), columns.data(), static_cast<int64_t>(a.size()), terms.gradient,
                                         terms.accumulate, plan.vectors_of(task), part.begin, part.end});
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
    each_frequency(plan, member, column_blocks(plan) * g.runs, [&](int64_t f, int64_t begin, int64_t end) {
      for (size_t t = 0; t < count; ++t) {
        float* term = scratch + static_cast<int64_t>(t) * term_floats(plan);
        columns[t] = array_at(plan, term, f * plan.column_frequency_floats());
        a[t] = array_at(plan, term + plan.products() * plan.column_frequency_floats(),
                        f * plan.frequency_floats(plan.tiles_a_gradient));
      }
      gradient_kernel(plan)(
          row, {a.data(), columns.data(), static_cast<int64_t>(count), terms.gradient + f * g.columns * g.channels,
                terms.accumulate || chunk.first > 0, plan.vectors_of(task), begin, end});
    });
  });
}

}  // namespace

int64_t step_scratch_floats(const SeriesPlan& plan) {
  if (plan.tiles != nullptr) return 2 * plan.products() * plan.frequency_floats(plan.tiles_a_step);
  return plan.reduced != nullptr ? plan.buffer_floats() : 0;
}

void series_step(const SeriesPlan& plan, const Member& member, int64_t task, ConvStep step, float* scratch) {
  const SeriesGeometry& g = plan.geometry;
  if (task >= 0) step.vectors = plan.vectors_of(task);
  if (plan.tiles != nullptr) return step_by_tiles(plan, member, task, step, scratch);
  if (plan.reduced != nullptr) {
    const int64_t pixel_floats = g.channels * step.vectors * plan.kernels->vector;
    const Share pixels = member.share(pixels_of(g));
    if (task >= 0) {
      plan.reduced->round(step.u + pixels.begin * pixel_floats, array_at(plan, scratch, pixels.begin * pixel_floats),
                          (pixels.end - pixels.begin) * pixel_floats);
    }
    step.u = scratch;
    member.meet();
  }
  if (task < 0) return;
  const Share part = member.share(g.runs * pixels_of(g));
  step.begin = part.begin;
  step.end = part.end;
  (plan.reduced != nullptr ? plan.reduced->conv : plan.kernels->conv)(g, step);
}

int64_t gradient_scratch_floats(const SeriesPlan& plan, int64_t terms) {
  if (plan.tiles != nullptr) return terms * term_floats(plan);
  return plan.reduced != nullptr ? terms * reduced_term_floats(plan) : 0;
}

void series_gradient(const SeriesPlan& plan, const Member& member, int64_t task, const GradientTerms& terms,
                     float* scratch) {
  if (plan.tiles != nullptr) return gradient_by_tiles(plan, member, task, terms, scratch);
  if (plan.reduced != nullptr) return reduced_gradient(plan, member, task, terms, scratch);
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
