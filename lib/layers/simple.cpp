#include "layers/simple.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "autograd/ops.h"
#include "core/error.h"
#include "layers/emit.h"
#include "layers/orthogonal/skew_weight.h"
#include "layers/settings.h"
#include "layers/verified_norm.h"

namespace gsnet {

std::array<int64_t, 2> pair_setting(const Attributes& attributes, std::string_view key, int64_t missing) {
  const AttributeValue* value = attributes.find(key);
  if (value == nullptr) return {missing, missing};
  if (const auto* one = std::get_if<int64_t>(value)) return {*one, *one};
  const std::vector<int64_t> both = attributes.integers(key);
  GSNET_CHECK(both.size() == 2, fmt::format("setting '{}' must be one integer or two, got {}", key, both.size()));
  return {both[0], both[1]};
}

std::array<int64_t, 4> padding_setting(const Attributes& attributes) {
  const AttributeValue* value = attributes.find("padding");
  if (value == nullptr) return {0, 0, 0, 0};
  if (const auto* one = std::get_if<int64_t>(value)) return {*one, *one, *one, *one};
  const std::vector<int64_t> sides = attributes.integers("padding");
  GSNET_CHECK(sides.size() == 2 || sides.size() == 4,
              fmt::format("setting 'padding' must be one, two or four integers, got {}", sides.size()));
  if (sides.size() == 2) return {sides[0], sides[1], sides[0], sides[1]};
  return {sides[0], sides[1], sides[2], sides[3]};
}

namespace {

Pairing pairing_setting(const Attributes& attributes) {
  if (attributes.find("pairing") == nullptr) return Pairing::neighbours;
  return attributes.choice("pairing", {"neighbours", "halves"}) == 0 ? Pairing::neighbours : Pairing::halves;
}

const Shape& even_channels(const Shape& x) {
  GSNET_CHECK(x.rank() >= 1 && x[0] % 2 == 0, fmt::format("needs an even number of channels, got {}", to_string(x)));
  return x;
}

}  // namespace

MaxMin::MaxMin(const Attributes& attributes) {
  attributes.allow_only({"pairing", "order"});
  spec_.pairing = pairing_setting(attributes);
  if (attributes.find("order") != nullptr && attributes.choice("order", {"max_first", "min_first"}) == 1) {
    spec_.order = PairOrder::min_first;
  }
}

Var MaxMin::forward(Tape&, const Var& x) { return ops::maxmin(x, spec_); }

Shape MaxMin::output_shape(const Shape& x) const { return even_channels(x); }

Emitter::Value MaxMin::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.maxmin(x[0], spec_);
}

GroupSort::GroupSort(const Attributes& attributes) : size_(attributes.integer("size", 2)) {
  attributes.allow_only({"size"});
  GSNET_CHECK(size_ >= 1, fmt::format("size must be at least 1, got {}", size_));
}

Var GroupSort::forward(Tape&, const Var& x) { return ops::group_sort(x, size_); }

Shape GroupSort::output_shape(const Shape& x) const {
  GSNET_CHECK(x[0] % size_ == 0, fmt::format("{} channels do not divide into runs of {}", x[0], size_));
  return x;
}

Emitter::Value GroupSort::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.group_sort(x[0], size_);
}

Householder::Householder(const Attributes& attributes, const BuildContext& context)
    : backend_(context.backend), pairing_(pairing_setting(attributes)) {
  attributes.allow_only({"pairing"});
  angle_.value = draw_tensor(context.backend, context.key, {even_channels(context.inputs.at(0))[0] / 2},
                             [](Random&) { return std::numbers::pi / 2; });
  angle_.decay = false;
}

Var Householder::forward(Tape& tape, const Var& x) { return ops::householder(x, tape.use(angle_), pairing_); }

Shape Householder::output_shape(const Shape& x) const { return even_channels(x); }

Cost Householder::cost(const Shape& x) const { return {0, x[0] / 2}; }

void Householder::visit(const std::string& path, Visitor& visitor) { visitor.parameter(path + ".angle", angle_); }

// Two products and a sum with a sine and a cosine, each good to a few units; which side of the mirror a pair is taken
// to be on does not matter near it, where both results agree.
RoundingBound Householder::rounding(std::span<const Shape>, const Arithmetic& arithmetic) const {
  return {rounding_factor(arithmetic, 32), UpperBound::proven(0x1p-120)};
}

Emitter::Value Householder::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.householder(x[0], emitted(backend_, angle_.value), pairing_);
}

Var Relu::forward(Tape&, const Var& x) { return ops::relu(x); }

Emitter::Value Relu::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.unary(UnaryOp::relu, x[0]);
}

namespace {

constexpr int64_t kMostDenseAxis = 256;

/// The norm of the means of windows along one axis of `length` elements: a matrix (windows, length).
UpperBound axis_mean_norm(const PoolSpec& spec, size_t axis, int64_t length) {
  const int64_t kernel = spec.kernel[axis], before = spec.pad[axis], after = spec.pad[axis + 2];
  const int64_t windows = (length + before + after - kernel) / spec.stride[axis] + 1;
  std::vector<double> means(static_cast<size_t>(windows * length), 0.0);
  for (int64_t i = 0; i < windows; ++i) {
    const int64_t first = std::max<int64_t>(0, i * spec.stride[axis] - before);
    const int64_t end = std::min(length, i * spec.stride[axis] - before + kernel);
    const auto count = static_cast<double>(spec.count_pad ? kernel : end - first);
    for (int64_t j = first; j < end; ++j) means[static_cast<size_t>(i * length + j)] = 1 / count;
  }
  VerifiedNorm norm;
  norm.add(means, windows, length);
  return norm.value() * UpperBound::proven(1 + 0x1p-40);  // 1 / count is rounded
}

}  // namespace

Pool::Pool(const Attributes& attributes) : global_(attributes.flag("global", false)) {
  attributes.allow_only({"kind", "kernel", "stride", "padding", "global", "count_pad"});
  const size_t kind = attributes.find("kind") == nullptr ? 0 : attributes.choice("kind", {"average", "l2", "max"});
  spec_.kind = kind == 0 ? PoolKind::average : kind == 1 ? PoolKind::l2 : PoolKind::max;
  spec_.kernel = pair_setting(attributes, "kernel", 2);
  spec_.stride = attributes.find("stride") == nullptr ? spec_.kernel : pair_setting(attributes, "stride", 1);
  spec_.pad = padding_setting(attributes);
  spec_.count_pad = attributes.flag("count_pad", false);
}

PoolSpec Pool::at(const Shape& x) const {
  GSNET_CHECK(x.rank() == 3, fmt::format("needs an input (C, H, W), got {}", to_string(x)));
  if (!global_) return spec_;
  return {.kind = spec_.kind, .kernel = {x[1], x[2]}, .stride = {x[1], x[2]}};
}

Var Pool::forward(Tape&, const Var& x) { return ops::pool(x, at({x.shape()[1], x.shape()[2], x.shape()[3]})); }

Shape Pool::output_shape(const Shape& x) const {
  const Shape y = pool_shape({1, x[0], x[1], x[2]}, at(x));
  return {y[1], y[2], y[3]};
}

// A pixel lies in at most `overlap` windows; a mean of n pixels moves by at most |d| / sqrt(n), a norm or a maximum by
// |d|. A window over the edge has fewer pixels; divided by its whole size they move it by no more than a full one.
// A mean over a window is one along each axis after the other, borders and counts too: the norm is that of two
// matrices.
LayerBound Pool::lipschitz(const Shape& x) const {
  output_shape(x);  // throws where the window does not fit
  const PoolSpec spec = at(x);
  const auto overlap = [&](size_t i) {
    const int64_t windows = (spec.kernel[i] + spec.stride[i] - 1) / spec.stride[i];
    return static_cast<double>(windows);
  };
  double bound = std::sqrt(overlap(0) * overlap(1));
  const bool padded = spec.pad != std::array<int64_t, 4>{0, 0, 0, 0};
  if (spec.kind == PoolKind::average && (spec.count_pad || !padded)) {
    bound /= std::sqrt(static_cast<double>(spec.kernel[0] * spec.kernel[1]));
  }
  const LayerBound by_overlap{UpperBound::proven(bound == 1 ? 1 : outward(bound, 1e-12)), "window overlap"};
  const bool separate = spec.kernel == spec.stride && !padded;
  if (spec.kind != PoolKind::average || separate || std::max(x[1], x[2]) > kMostDenseAxis) return by_overlap;
  const UpperBound dense = axis_mean_norm(spec, 0, x[1]) * axis_mean_norm(spec, 1, x[2]);
  return dense.value() < by_overlap.value.value() ? LayerBound{dense, "dense"} : by_overlap;
}

// A norm sums what is not negative and a mean at most |window| numbers; each is off relatively.
RoundingBound Pool::rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const {
  const PoolSpec spec = at(x[0]);
  if (spec.kind == PoolKind::max) return {};
  const auto window = static_cast<double>(spec.kernel[0] * spec.kernel[1]);
  // Squares below 2^-149 are lost: a norm is off by at most sqrt(window) 2^-74.
  const Shape y = output_shape(x[0]);
  const double lost = std::sqrt(window * static_cast<double>(y.numel())) * 0x1p-74;
  return {rounding_factor(arithmetic, 2 * window + 4) * lipschitz(x[0]).value,
          UpperBound::proven(outward(lost, 1e-12))};
}

Emitter::Value Pool::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape> shapes) const {
  return emitter.pool(x[0], at(shapes[0]), global_);
}

Var Flatten::forward(Tape&, const Var& x) { return ops::flatten(x); }

Emitter::Value Flatten::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.flatten(x[0]);
}

SpaceToDepth::SpaceToDepth(const Attributes& attributes) : block_(attributes.integer("block", 2)) {
  attributes.allow_only({"block"});
  GSNET_CHECK(block_ >= 1, fmt::format("block must be at least 1, got {}", block_));
}

Var SpaceToDepth::forward(Tape&, const Var& x) { return ops::space_to_depth(x, block_); }

Shape SpaceToDepth::output_shape(const Shape& x) const {
  GSNET_CHECK(x.rank() == 3 && x[1] % block_ == 0 && x[2] % block_ == 0,
              fmt::format("{} does not divide into blocks of {} x {}", to_string(x), block_, block_));
  return {x[0] * block_ * block_, x[1] / block_, x[2] / block_};
}

Emitter::Value SpaceToDepth::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  return emitter.space_to_depth(x[0], block_);
}

PadChannels::PadChannels(const Attributes& attributes)
    : before_(attributes.integer("before", 0)), after_(attributes.integer("after", 0)) {
  attributes.allow_only({"before", "after"});
  constexpr int64_t kMost = 65'536;
  GSNET_CHECK(before_ >= 0 && before_ <= kMost && after_ >= 0 && after_ <= kMost,
              fmt::format("before and after must be 0 … {}, got {} and {}", kMost, before_, after_));
}

Var PadChannels::forward(Tape&, const Var& x) { return ops::map_channels(x, map(x.shape()[1])); }

ChannelMap PadChannels::map(int64_t channels) const {
  std::vector<int32_t> source(static_cast<size_t>(before_ + channels + after_), -1);
  std::iota(source.begin() + before_, source.begin() + before_ + channels, 0);
  return {channels, std::move(source)};
}

Shape PadChannels::output_shape(const Shape& x) const {
  GSNET_CHECK(x.rank() == 3, fmt::format("needs an input (C, H, W), got {}", to_string(x)));
  return x.with(0, before_ + x[0] + after_);
}

Emitter::Value PadChannels::emit(Emitter& emitter, std::span<const Emitter::Value> x,
                                 std::span<const Shape> shapes) const {
  return emitter.map_channels(x[0], map(shapes[0][0]));
}

Var Add::forward(Tape&, std::span<const Var> x) {
  Var sum = x[0];
  for (const Var& more : x.subspan(1)) sum = ops::add(sum, more);
  return sum;
}

Shape Add::output_shape(std::span<const Shape> x) const {
  for (const Shape& shape : x) {
    GSNET_CHECK(shape == x[0], fmt::format("cannot add {} and {}", to_string(x[0]), to_string(shape)));
  }
  return x[0];
}

LayerBound Add::bound(std::span<const UpperBound> in, std::span<const Shape>) const {
  UpperBound sum = in[0];
  for (const UpperBound& more : in.subspan(1)) sum = sum + more;
  return {sum, "sum"};
}

RoundingBound Add::rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const {
  return {rounding_factor(arithmetic, static_cast<double>(x.size()) - 1)};
}

Emitter::Value Add::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape>) const {
  Emitter::Value sum = x[0];
  for (const Emitter::Value more : x.subspan(1)) sum = emitter.binary(BinaryOp::add, sum, more);
  return sum;
}

}  // namespace gsnet
