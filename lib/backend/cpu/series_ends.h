// Between the tensors on the two sides of a series and its arrays of blocks.
#pragma once

#include <vector>

#include "backend/cpu/series_plan.h"
#include "backend/cpu/series_team.h"

namespace gsnet::cpu {

/// A channels-last tensor, `block` x `block` of whose pixels are one of the series.
struct SeriesSide {
  int64_t block, channels;
  std::vector<ChannelPlace> place;  ///< in the series, of [pixel of the block][channel]
  std::vector<ChannelPlace> empty;  ///< of the series, that are no channel's place

  /// The side of x, and that of y.
  static SeriesSide before(const SeriesEnds& ends, int64_t group_channels);
  static SeriesSide after(const SeriesEnds& ends, int64_t group_channels);
};

/// Arrays of a block of images of all groups, [group][pixel][channel][lane].
struct GroupBlocks {
  float* first;
  int64_t group_floats;  ///< from one to the next
};

/// `rows` of the series' picture of block number `block`: to = scale x, places without a channel 0.
void spread_block(const SeriesPlan& plan, const SeriesSide& side, const Tensor& x, int64_t block, float scale,
                  Share rows, const GroupBlocks& to);
/// y = from + bias (may be null), channels without a place 0 + bias.
void gather_block(const SeriesPlan& plan, const SeriesSide& side, const GroupBlocks& from, int64_t block,
                  const Tensor* bias, Share rows, const Tensor& y);

}  // namespace gsnet::cpu
