#include "backend/cpu/series_gradient.h"

#include <algorithm>

#include "backend/cpu/series_chunks.h"

namespace gsnet::cpu {
namespace {

int64_t column_blocks(const SeriesPlan& plan) { return (plan.geometry.columns / plan.kernels->vector + 1) / 2; }

auto gradient_kernel(const SeriesPlan& plan) {
  return plan.reduced != nullptr ? plan.reduced->gradient : plan.kernels->gradient;
}

/// Floats of one slot: the frequencies of a term's chunk of tiles, of columns and of a.
int64_t slot_floats(const SeriesPlan& plan) {
  return plan.products() * (plan.column_frequency_floats() + plan.output_frequency_floats());
}

void spread_term(const SeriesPlan& plan, const Member& member, Chunk chunk, int64_t vectors, const float* a,
                 const float* columns, float* slot) {
  const SeriesGeometry& g = plan.geometry;
  const int64_t vector = plan.kernels->vector, lanes = vectors * vector;
  for (int64_t in = 0; in < g.columns; in += 2 * vector) {
    const int64_t wide = std::min(g.columns - in, 2 * vector);
    TileStep tiles = tile_step(plan, member, chunk, lanes * wide / vector);
    tiles.frequency_stride = plan.column_frequency_floats();
    tiles.from = columns + in * pixels_of(g) * lanes;
    tiles.to = array_at(plan, slot, in * chunk.count * lanes);
    if (plan.spread_pairs != nullptr) {
      spread_whole_tiles(plan, member, chunk, tiles, wide);
    } else {
      plan.spread(g, tiles);
    }
  }
  TileStep tiles = tile_step(plan, member, chunk, g.channels * vectors);
  tiles.frequency_stride = plan.output_frequency_floats();
  tiles.from = a;
  tiles.to = slot + plan.products() * plan.column_frequency_floats();
  plan.spread_outputs(g, tiles);
}

/// The products of all slots, which hold `count` tiles each.
void multiply_slots(const SeriesPlan& plan, const Member& member, int64_t vectors, int64_t count, int64_t slots,
                    float* gradient, bool accumulate, const float* scratch) {
  const SeriesGeometry& g = plan.geometry;
  const SeriesGeometry row = plan.tile_row(count);
  std::vector<const float*> a(static_cast<size_t>(slots)), columns(a);
  each_frequency(plan, member, column_blocks(plan) * g.runs, [&](int64_t f, int64_t begin, int64_t end) {
    for (int64_t i = 0; i < slots; ++i) {
      const float* slot = scratch + i * slot_floats(plan);
      const auto at = static_cast<size_t>(i);
      columns[at] = array_at(plan, slot, f * plan.column_frequency_floats());
      a[at] =
          array_at(plan, slot + plan.products() * plan.column_frequency_floats(), f * plan.output_frequency_floats());
    }
    gradient_kernel(plan)(
        row, {a.data(), columns.data(), slots, gradient + f * g.columns * g.channels, accumulate, vectors, begin, end});
  });
}

void gradient_by_tiles(const SeriesPlan& plan, const Member& member, int64_t task, int64_t slots,
                       const GradientTerms& terms, GradientQueue& queue, float* scratch) {
  const int64_t tiles = plan.tiles_high * plan.tiles_wide;
  if (terms.first) queue = {};
  each_chunk(plan, plan.tiles_a_gradient, [&](Chunk chunk) {
    member.meet();  // the slots before are used up
    for (size_t t = 0; task >= 0 && t < terms.a.size(); ++t, ++queue.waiting) {
      spread_term(plan, member, chunk, plan.vectors_of(task), terms.a[t], terms.columns[t],
                  scratch + queue.waiting * slot_floats(plan));
    }
    member.meet();
    if (task < 0) return;
    const int64_t left = tiles - chunk.first - chunk.count;
    const int64_t next = left == 0 ? std::min(plan.tiles_a_gradient, tiles) : std::min(plan.tiles_a_gradient, left);
    const bool last = terms.last && left == 0;
    if (plan.gradient_waits && queue.waiting < slots && next == chunk.count && !last) return;
    multiply_slots(plan, member, plan.vectors_of(task), chunk.count, queue.waiting, terms.gradient, queue.begun,
                   scratch);
    queue = {.waiting = 0, .begun = true};
  });
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

void gradient_directly(const SeriesPlan& plan, const Member& member, int64_t task, const GradientTerms& terms,
                       GradientQueue& queue, float* scratch) {
  std::vector<const float*> a(terms.a.begin(), terms.a.end()), columns(terms.columns.begin(), terms.columns.end());
  for (size_t t = 0; plan.reduced != nullptr && t < a.size(); ++t) {
    float* at = scratch + static_cast<int64_t>(t) * reduced_term_floats(plan);
    if (task >= 0) {
      reduce_term(plan, member, plan.vectors_of(task), terms.a[t], terms.columns[t], at, at + plan.buffer_floats());
    }
    a[t] = at;
    columns[t] = at + plan.buffer_floats();
  }
  member.meet();
  if (task < 0) return;
  if (terms.first) queue = {};
  const Share part = member.share(column_blocks(plan) * plan.geometry.runs);
  gradient_kernel(plan)(plan.geometry, {a.data(), columns.data(), static_cast<int64_t>(a.size()), terms.gradient,
                                        queue.begun, plan.vectors_of(task), part.begin, part.end});
  queue.begun = true;
}

}  // namespace

int64_t gradient_slots(const SeriesPlan& plan, int degree) {
  if (plan.tiles == nullptr) return 0;
  if (!plan.gradient_waits) return plan.terms_at_once(degree);
  const int64_t tiles = plan.tiles_high * plan.tiles_wide;
  const int64_t chunks = (tiles + plan.tiles_a_gradient - 1) / plan.tiles_a_gradient;
  const int64_t most = std::min(plan.blocks, (plan.tasks() + plan.teams - 1) / plan.teams) * degree * chunks;
  return std::clamp<int64_t>(plan.gradient_floats() / 2 / slot_floats(plan), 1, most);
}

int64_t gradient_scratch_floats(const SeriesPlan& plan, int degree) {
  if (plan.line_gradient != nullptr) {
    return plan.team_size * plan.line_gradient->gradient_scratch(plan.geometry);
  }
  if (plan.tiles != nullptr) return gradient_slots(plan, degree) * slot_floats(plan);
  return plan.reduced != nullptr ? plan.terms_at_once(degree) * reduced_term_floats(plan) : 0;
}

void series_gradient(const SeriesPlan& plan, const Member& member, int64_t task, int degree, const GradientTerms& terms,
                     GradientQueue& queue, float* scratch) {
  if (plan.tiles == nullptr) return gradient_directly(plan, member, task, terms, queue, scratch);
  gradient_by_tiles(plan, member, task, gradient_slots(plan, degree), terms, queue, scratch);
}

const float* gradient_taps(const SeriesPlan& plan, const float* gradient, int64_t block, int64_t run,
                           std::vector<float>& scratch) {
  const SeriesGeometry& g = plan.geometry;
  const int64_t wide = std::min(g.columns - block, 2 * plan.kernels->vector);
  const int64_t first = run_begin(g, run), count = (run_begin(g, run + 1) - first) * wide;
  const int64_t before = block * g.channels + first * wide;
  if (plan.tiles == nullptr && plan.line_gradient == nullptr) return gradient + before * taps_of(g);
  scratch.resize(static_cast<size_t>(count * taps_of(g)));
  if (plan.line_gradient != nullptr) {
    plan.line_gradient->taps(g, gradient, run, scratch.data());
    return scratch.data();
  }
  plan.tiles->kernel_adjoint(gradient + before, g.columns * g.channels, scratch.data(), count, count);
  return scratch.data();
}

}  // namespace gsnet::cpu
