#include "backend/cpu/series_ends.h"

#include <algorithm>

namespace gsnet::cpu {
namespace {

ChannelPlace place_of(int64_t channel, int64_t group_channels) {
  return {static_cast<int32_t>(channel / group_channels), static_cast<int32_t>(channel % group_channels)};
}

/// The images of a block of a side's tensor.
struct Images {
  int64_t first, count, lanes, stride;

  Images(const SeriesPlan& plan, const Tensor& x, int64_t block)
      : first(block * plan.vectors * plan.kernels->vector),
        count(0),
        lanes(plan.vectors_of(plan.task_of(0, block)) * plan.kernels->vector),
        stride(x.numel() / plan.images) {
    count = std::min(lanes, plan.images - first);
  }
};

}  // namespace

SeriesSide SeriesSide::before(const SeriesEnds& ends, int64_t group_channels) {
  const int64_t area = ends.block * ends.block, channels = ends.before->inputs() / area;
  SeriesSide side = {ends.block, channels, {}, {}};
  side.place.assign(static_cast<size_t>(ends.before->inputs()), {-1, 0});
  const auto source = ends.before->source();
  for (size_t c = 0; c < source.size(); ++c) {
    const int64_t from = source[c];
    const ChannelPlace place = place_of(static_cast<int64_t>(c), group_channels);
    if (from < 0) {
      side.empty.push_back(place);
    } else {
      side.place[static_cast<size_t>(from % area * channels + from / area)] = place;
    }
  }
  return side;
}

SeriesSide SeriesSide::after(const SeriesEnds& ends, int64_t group_channels) {
  SeriesSide side = {1, ends.after->outputs(), {}, {}};
  std::vector<bool> used(static_cast<size_t>(ends.after->inputs()));
  for (const int32_t from : ends.after->source()) {
    side.place.push_back(from < 0 ? ChannelPlace{-1, 0} : place_of(from, group_channels));
    if (from >= 0) used[static_cast<size_t>(from)] = true;
  }
  for (size_t c = 0; c < used.size(); ++c) {
    if (!used[c]) side.empty.push_back(place_of(static_cast<int64_t>(c), group_channels));
  }
  return side;
}

void spread_block(const SeriesPlan& plan, const SeriesSide& side, const Tensor& x, int64_t block, float scale,
                  Share rows, const GroupBlocks& to) {
  const Images images(plan, x, block);
  plan.kernels->spread_pixels(
      plan.geometry, {x.data<float>() + images.first * images.stride, images.stride, images.count, images.lanes,
                      side.block, side.channels, side.place.data(), side.empty.data(),
                      static_cast<int64_t>(side.empty.size()), scale, to.first, to.group_floats, rows.begin, rows.end});
}

void gather_block(const SeriesPlan& plan, const SeriesSide& side, const GroupBlocks& from, int64_t block,
                  const Tensor* bias, Share rows, const Tensor& y) {
  const Images images(plan, y, block);
  plan.kernels->gather_pixels(plan.geometry,
                              {from.first, from.group_floats, images.count, images.lanes, side.block, side.channels,
                               side.place.data(), bias != nullptr ? bias->data<float>() : nullptr,
                               y.data<float>() + images.first * images.stride, images.stride, rows.begin, rows.end});
}

}  // namespace gsnet::cpu
