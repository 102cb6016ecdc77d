// What both forms of the gradient of a series' kernel share: which team sums what, and how parts are added up.
#pragma once

#include <algorithm>

#include "backend/cuda/series_parts.h"

namespace gsnet::cuda {

/// A team has `outs` of g's channels by `ins` of u's, of one group, and some of the stripes: `band` rows of an image.
struct GradientShape : GroupShape {
  int outs = 0, ins = 0;
  int band, together = 1;  ///< rows of a stripe, stripes in shared memory at once
  int splits = 1;          ///< of what is there, threads of their own each
  int parts = 1;           ///< of all stripes, teams of their own each

  GradientShape(const Shape& u, const Shape& k) : GroupShape(u, k), band(height) {}

  GSNET_ANYWHERE int blocks_out() const { return (m + outs - 1) / outs; }
  GSNET_ANYWHERE int blocks() const { return blocks_out() * ((m + ins - 1) / ins); }
  /// Neighbouring taps of a row that are summed together.
  GSNET_ANYWHERE int taps_together() const { return wide == 1 ? 3 : 1; }
  GSNET_ANYWHERE int bands() const { return (height + band - 1) / band; }
  GSNET_ANYWHERE int64_t stripes() const { return int64_t{images} * bands(); }
  int64_t teams() const { return int64_t{parts} * groups() * blocks(); }

  /// As many parts as keep a device busy: four teams a processor of the largest, two where parts are not small beside
  /// what they are made of. The same on all devices.
  void choose_parts() {
    const int64_t each = int64_t{groups()} * blocks(), few = 264 / each, many = 2 * few;
    const int64_t kernel = int64_t{channels} * m * taps(), maps = int64_t{images} * channels * height * width;
    const int64_t most = std::max<int64_t>(1, stripes() / together);
    parts = static_cast<int>(std::clamp<int64_t>(many * kernel < maps / 4 ? many : few, 1, most));
  }
};

/// What a team has of everything.
struct GradientPlace {
  int group, out, in;         ///< first channels of its block
  int64_t part, first, last;  ///< stripes

  GSNET_DEVICE GradientPlace(const GradientShape& s, int64_t team) {
    const int block = static_cast<int>(team % s.blocks());
    group = static_cast<int>(team / s.blocks() % s.groups());
    out = block % s.blocks_out() * s.outs;
    in = block / s.blocks_out() * s.ins;
    part = team / (int64_t{s.blocks()} * s.groups());
    first = s.stripes() * part / s.parts;
    last = s.stripes() * (part + 1) / s.parts;
  }
  /// Of those from `stripe` on, what is in shared memory at once.
  GSNET_DEVICE int count(const GradientShape& s, int64_t stripe) const {
    return static_cast<int>(last - stripe < s.together ? last - stripe : s.together);
  }
};

/// Rows of stripes of a map of all channels, with a border of zeros, as runs of neighbouring channels of a block.
class StripeRows {
 public:
  /// above, left: rows and columns before the map; line: places of a row, those of the border among them.
  StripeRows(const GradientShape& s, int above, int left, int line, int channels, int run)
      : above_(above),
        left_(left),
        channels_(channels),
        run_(run),
        size_((s.band + 2 * above) * line * (channels / run)),
        runs_(channels / run),
        line_(line * (channels / run)),
        rows_(s.band + 2 * above) {}

  /// Runs of a stripe.
  GSNET_ANYWHERE int size() const { return size_; }
  /// Of a place.
  GSNET_ANYWHERE int channels() const { return channels_; }

  /// Where a run lies: stripe of the team's, row and place with the border, channel of the block; in the map; or that
  /// it does not.
  struct Place {
    int slot, row, place, channel;
    int64_t in_map;
    bool inside;
  };
  GSNET_DEVICE Place at(const GradientShape& s, int64_t stripe, int64_t first_channel, int last_channel, int i) const {
    const int of_rows = line_.quotient(i), in_row = line_.remainder(i);
    const int slot = rows_.quotient(of_rows), row = rows_.remainder(of_rows), place = runs_.quotient(in_row);
    const int channel = runs_.remainder(in_row) * run_, x = place - left_;
    const int64_t image = s.bands() == 1 ? stripe + slot : (stripe + slot) / s.bands();
    const int band = s.bands() == 1 ? 0 : static_cast<int>((stripe + slot) % s.bands());
    const int y = band * s.band + row - above_;
    const bool inside = y >= 0 && y < s.height && x >= 0 && x < s.width && channel < last_channel;
    return {slot,  row, place, channel, ((image * s.height + y) * s.width + x) * s.channels + first_channel + channel,
            inside};
  }

 private:
  int above_, left_, channels_, run_, size_;
  Divisor runs_, line_, rows_;
};

/// A piece of a team's block, of so many channels of g and of u, and neighbouring taps: the first of each.
struct GradientPiece {
  int o, i, u, v;

  GSNET_DEVICE GradientPiece(const GradientShape& s, int outs, int ins, int piece) {
    const int across = s.outs / outs, down = s.ins / ins, together = s.line_taps() / s.taps_together();
    o = piece % across * outs;
    i = piece / across % down * ins;
    v = piece / (across * down) % together;
    u = piece / (across * down * together);
  }
};

/// (parts; C, C/g, taps): a number of a part.
GSNET_DEVICE inline int64_t in_part(const GradientShape& s, const GradientPlace& at, int o, int i, int tap) {
  return (((at.part * s.groups() + at.group) * s.m + o) * s.m + i) * s.taps() + tap;
}

/// dk = the sum of the parts, in order.
inline void add_up(Runtime& runtime, const Tensor& parts, Tensor& dk) {
  const float* from = parts.data<float>();
  float* to = dk.data<float>();
  const int64_t size = dk.numel(), count = parts.shape()[0];
  for_each(runtime.stream(), size, [=] GSNET_DEVICE(int64_t i) {
    double total = 0;
    for (int64_t part = 0; part < count; ++part) total += static_cast<double>(from[part * size + i]);
    to[i] = static_cast<float>(total);
  });
}

/// The same, of the parts that sum(parts) makes.
template <class Sum>
void add_parts(Runtime& runtime, const GradientShape& s, Tensor& dk, Sum sum) {
  const Tensor parts = Tensor::empty({s.parts, dk.numel()}, DType::f32, Layout::row_major, runtime.memory());
  sum(parts.data<float>());
  add_up(runtime, parts, dk);
}

}  // namespace gsnet::cuda
