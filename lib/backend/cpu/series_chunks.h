// How steps and gradients by tiles go through a picture, and through frequencies.
#pragma once

#include <algorithm>

#include "backend/cpu/series_team.h"

namespace gsnet::cpu {

/// Tiles [first, first + count) of a picture.
struct Chunk {
  int64_t first, count;
};

template <class Body>
void each_chunk(const SeriesPlan& plan, int64_t at_once, Body&& body) {
  const int64_t tiles = plan.tiles_high * plan.tiles_wide;
  for (int64_t first = 0; first < tiles; first += at_once) body(Chunk{first, std::min(at_once, tiles - first)});
}

inline TileStep tile_step(const SeriesPlan& plan, const Member& member, Chunk chunk, int64_t width) {
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

/// SeriesPlan::spread_pairs of the member's part of whole tiles.
inline void spread_whole_tiles(const SeriesPlan& plan, const Member& member, Chunk chunk, TileStep tiles,
                               int64_t wide) {
  const Share part = member.share(chunk.count);
  tiles.begin = part.begin * tiles.width;
  tiles.end = part.end * tiles.width;
  plan.spread_pairs(plan.geometry, tiles, wide);
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

}  // namespace gsnet::cpu
