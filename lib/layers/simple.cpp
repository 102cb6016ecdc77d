#include "layers/simple.h"

#include <fmt/format.h>

#include <numbers>
#include <numeric>

#include "autograd/ops.h"
#include "core/error.h"
#include "layers/emit.h"
#include "layers/orthogonal/skew_weight.h"

namespace gsnet {

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
