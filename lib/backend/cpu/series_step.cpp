#include "backend/cpu/series_step.h"

#include <algorithm>

#include "backend/cpu/series_chunks.h"

namespace gsnet::cpu {
namespace {

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
  const int64_t stride = plan.frequency_floats(plan.tiles_a_step), square = plan.weights_before(g.runs);
  float* in = scratch;
  float* out = scratch + plan.products() * stride;
  const int64_t vectors = task >= 0 ? step.vectors : 1;
  // Every weight loaded is used twice; products of pairs of channels take twos of pixels themselves.
  const int64_t together = plan.paired() ? 1 : std::min(2 / vectors, plan.tiles_a_step);
  each_chunk(plan, plan.tiles_a_step, [&](Chunk chunk) {
    TileStep tiles = tile_step(plan, member, chunk, g.channels * vectors);
    tiles.frequency_stride = stride;
    tiles.together = together;
    if (task >= 0) {
      tiles.from = step.u;
      tiles.to = in;
      if (plan.paired()) {
        spread_whole_tiles(plan, member, chunk, tiles, vectors * plan.kernels->vector);
      } else {
        plan.spread(g, tiles);
      }
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
        product.vectors = vectors * together;
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

}  // namespace

int64_t step_scratch_floats(const SeriesPlan& plan) {
  if (plan.lines != nullptr) return plan.team_size * plan.lines->scratch(plan.geometry, plan.most_vectors());
  if (plan.tiles != nullptr) return 2 * plan.products() * plan.frequency_floats(plan.tiles_a_step);
  return plan.reduced != nullptr ? plan.buffer_floats() : 0;
}

void series_step(const SeriesPlan& plan, const Member& member, int64_t task, ConvStep step, float* scratch) {
  const SeriesGeometry& g = plan.geometry;
  if (task >= 0) step.vectors = plan.vectors_of(task);
  if (plan.tiles != nullptr) return step_by_tiles(plan, member, task, step, scratch);
  if (plan.reduced != nullptr) {
    const int64_t lanes = step.vectors * plan.kernels->vector;
    const Share pixels = member.share(pixels_of(g));
    const int64_t first = pixels.begin * g.channels * lanes, channels = (pixels.end - pixels.begin) * g.channels;
    if (task >= 0 && plan.paired()) {
      plan.reduced->round_pairs(step.u + first, array_at(plan, scratch, first), channels, lanes);
    } else if (task >= 0) {
      plan.reduced->round(step.u + first, array_at(plan, scratch, first), channels * lanes);
    }
    step.u = scratch;
    member.meet();
  }
  if (task < 0) return;
  const Share part = member.share(plan.lines != nullptr ? g.height : g.runs * pixels_of(g));
  step.begin = part.begin;
  step.end = part.end;
  if (plan.lines != nullptr) {
    return plan.lines->conv(g, step, scratch + member.rank() * plan.lines->scratch(g, plan.most_vectors()));
  }
  (plan.reduced != nullptr ? plan.reduced->conv : plan.kernels->conv)(g, step);
}

}  // namespace gsnet::cpu
