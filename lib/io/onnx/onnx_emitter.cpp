#include "io/onnx/onnx_emitter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace gsnet::io {
namespace {

constexpr int64_t kAxesAsInput = 18;  // opset from which ReduceMax and its like take axes as an input

std::vector<int64_t> extents_of(const Shape& sample) { return {sample.extents().begin(), sample.extents().end()}; }

/// A sample's extents with its channels as (C / size, size), or (size, C / size) for halves.
std::vector<int64_t> split_channels(const Shape& sample, int64_t size, bool halves) {
  std::vector<int64_t> extents = extents_of(sample);
  extents[0] = halves ? size : sample[0] / size;
  extents.insert(extents.begin() + 1, halves ? sample[0] / size : size);
  return extents;
}

/// How many leading channels of zeros a map adds when it does nothing but add zeros at both ends; -1 otherwise.
int64_t zeros_before(const ChannelMap& map) {
  const auto source = map.source();
  const auto first = std::ranges::find(source, 0);
  const int64_t before = first - source.begin();
  for (int64_t i = 0; i < map.outputs(); ++i) {
    const int64_t wanted = i < before || i >= before + map.inputs() ? -1 : i - before;
    if (source[static_cast<size_t>(i)] != wanted) return -1;
  }
  return map.outputs() < before + map.inputs() ? -1 : before;
}

}  // namespace

Emitter::Value OnnxEmitter::input(const std::string& name, const Shape& sample) {
  values_.push_back({name, sample});
  return static_cast<Value>(values_.size()) - 1;
}

Emitter::Value OnnxEmitter::known(const onnx::NodeProto& node, const Shape& sample) {
  return input(node.output(0), sample);
}

std::string OnnxEmitter::a_channel(const Tensor& values, const std::string& role, Value x) {
  const int64_t channels = values.numel();
  return writer_.tensor(values, role, shape(x).rank() == 1 ? Shape{channels} : Shape{channels, 1, 1});
}

std::string OnnxEmitter::reshaped(const std::string& x, const std::vector<int64_t>& extents) {
  std::vector<int64_t> wanted = {0};  // the batch's extent stays
  wanted.insert(wanted.end(), extents.begin(), extents.end());
  return writer_.node("Reshape", {x, writer_.integers(wanted)}).output(0);
}

std::string OnnxEmitter::transposed(const std::string& x, std::span<const int64_t> axes) {
  onnx::NodeProto& node = writer_.node("Transpose", {x});
  set(node, "perm", axes);
  return node.output(0);
}

std::string OnnxEmitter::padded(const std::string& x, const std::vector<int64_t>& sides, double value) {
  return writer_.node("Pad", {x, writer_.integers(sides), writer_.number(value)}).output(0);
}

std::string OnnxEmitter::reduced(const std::string& op, const std::string& x, int64_t axis) {
  if (opset_ >= kAxesAsInput || op == "ReduceSum") return writer_.node(op, {x, writer_.integers({axis})}).output(0);
  onnx::NodeProto& node = writer_.node(op, {x});
  set(node, "axes", {axis});
  return node.output(0);
}

Emitter::Value OnnxEmitter::conv2d(Value x, const Tensor& w, const Tensor* bias, const ConvSpec& spec) {
  std::vector<std::string> inputs = {name(x), writer_.tensor(w, "weight")};
  if (bias != nullptr) inputs.push_back(writer_.tensor(*bias, "bias"));
  onnx::NodeProto& node = writer_.node("Conv", inputs);
  set(node, "kernel_shape", {w.shape()[2], w.shape()[3]});
  set(node, "strides", spec.stride);
  set(node, "pads", spec.pad);
  set(node, "dilations", spec.dilation);
  set(node, "group", spec.groups);
  const Shape& in = shape(x);
  const Shape y = conv2d_shape({1, in[0], in[1], in[2]}, w.shape(), spec);
  return known(node, {y[1], y[2], y[3]});
}

Emitter::Value OnnxEmitter::linear(Value x, const Tensor& w, const Tensor* bias) {
  std::vector<std::string> inputs = {name(x), writer_.tensor(w, "weight")};
  if (bias != nullptr) inputs.push_back(writer_.tensor(*bias, "bias"));
  onnx::NodeProto& node = writer_.node("Gemm", inputs);
  set(node, "transB", 1);
  return known(node, {w.shape()[0]});
}

Emitter::Value OnnxEmitter::scale_shift(Value x, const Tensor* scale, const Tensor* shift) {
  if (scale != nullptr) x = known(writer_.node("Mul", {name(x), a_channel(*scale, "scale", x)}), shape(x));
  if (shift != nullptr) x = known(writer_.node("Add", {name(x), a_channel(*shift, "shift", x)}), shape(x));
  return x;
}

Emitter::Value OnnxEmitter::map_channels(Value x, const ChannelMap& map) {
  if (map.is_identity()) return x;
  const Shape sample = shape(x);
  const auto axes = static_cast<size_t>(sample.rank()) + 1;
  const auto pad = [&](int64_t before, int64_t after) {
    std::vector<int64_t> sides(2 * axes);
    sides[1] = before;
    sides[axes + 1] = after;
    return padded(name(x), sides, 0);
  };
  const Shape mapped = sample.with(0, map.outputs());
  if (const int64_t before = zeros_before(map); before >= 0) {
    return input(pad(before, map.outputs() - map.inputs() - before), mapped);
  }
  std::vector<int64_t> source(map.source().begin(), map.source().end());
  const bool zeros = std::ranges::find(source, -1) != source.end();
  std::ranges::replace(source, int64_t{-1}, map.inputs());  // a channel of zeros behind the others
  onnx::NodeProto& node = writer_.node("Gather", {zeros ? pad(0, 1) : name(x), writer_.integers(source)});
  set(node, "axis", 1);
  return known(node, mapped);
}

Emitter::Value OnnxEmitter::space_to_depth(Value x, int64_t block) {
  if (block == 1) return x;
  const Shape& s = shape(x);
  const Shape y = {s[0] * block * block, s[1] / block, s[2] / block};
  const std::string cut = reshaped(name(x), {s[0], y[1], block, y[2], block});
  return input(reshaped(transposed(cut, std::array<int64_t, 6>{0, 1, 3, 5, 2, 4}), extents_of(y)), y);
}

Emitter::Value OnnxEmitter::depth_to_space(Value x, int64_t block) {
  if (block == 1) return x;
  const Shape& s = shape(x);
  const Shape y = {s[0] / (block * block), s[1] * block, s[2] * block};
  const std::string cut = reshaped(name(x), {y[0], block, block, s[1], s[2]});
  return input(reshaped(transposed(cut, std::array<int64_t, 6>{0, 1, 4, 2, 5, 3}), extents_of(y)), y);
}

Emitter::Value OnnxEmitter::flatten(Value x) {
  if (shape(x).rank() == 1) return x;
  onnx::NodeProto& node = writer_.node("Flatten", {name(x)});
  set(node, "axis", 1);
  return known(node, {shape(x).numel()});
}

Emitter::Value OnnxEmitter::reshape(Value x, const Shape& sample) {
  return shape(x) == sample ? x : input(reshaped(name(x), extents_of(sample)), sample);
}

Emitter::Value OnnxEmitter::permute(Value x, std::span<const int64_t> axes) {
  std::vector<int64_t> all = {0}, extents;
  for (const int64_t axis : axes) {
    all.push_back(axis + 1);
    extents.push_back(shape(x)[static_cast<int>(axis)]);
  }
  return input(transposed(name(x), all), Shape(std::span<const int64_t>(extents)));
}

Emitter::Value OnnxEmitter::pad(Value x, const std::array<int64_t, 4>& sides, double value) {
  const Shape& s = shape(x);
  const Shape y = {s[0], s[1] + sides[0] + sides[2], s[2] + sides[1] + sides[3]};
  return input(padded(name(x), {0, 0, sides[0], sides[1], 0, 0, sides[2], sides[3]}, value), y);
}

Emitter::Value OnnxEmitter::pool(Value x, const PoolSpec& spec, bool global) {
  const char* kind = spec.kind == PoolKind::average ? "Average" : spec.kind == PoolKind::max ? "Max" : "Lp";
  onnx::NodeProto& node = writer_.node(fmt::format("{}{}Pool", global ? "Global" : "", kind), {name(x)});
  if (spec.kind == PoolKind::l2) set(node, "p", 2);
  const Shape& s = shape(x);
  if (global) return known(node, {s[0], 1, 1});
  set(node, "kernel_shape", spec.kernel);
  set(node, "strides", spec.stride);
  set(node, "pads", spec.pad);
  if (spec.kind == PoolKind::average) set(node, "count_include_pad", spec.count_pad ? 1 : 0);
  const Shape y = pool_shape({1, s[0], s[1], s[2]}, spec);
  return known(node, {y[1], y[2], y[3]});
}

Emitter::Value OnnxEmitter::maxmin(Value x, const MaxMinSpec& spec) {
  const Shape sample = shape(x);
  const bool halves = spec.pairing == Pairing::halves;
  const int64_t axis = halves ? 1 : 2;
  const std::string pairs = reshaped(name(x), split_channels(sample, 2, halves));
  std::string first = reduced("ReduceMax", pairs, axis), second = reduced("ReduceMin", pairs, axis);
  if (spec.order == PairOrder::min_first) std::swap(first, second);
  onnx::NodeProto& sorted = writer_.node("Concat", {first, second});
  set(sorted, "axis", axis);
  return input(reshaped(sorted.output(0), extents_of(sample)), sample);
}

Emitter::Value OnnxEmitter::group_sort(Value x, int64_t size) {
  const Shape sample = shape(x);
  const std::string runs = reshaped(name(x), split_channels(sample, size, false));
  onnx::NodeProto& sorted = writer_.node("TopK", {runs, writer_.integers({size})});
  sorted.add_output(sorted.output(0) + "_indices");
  set(sorted, "axis", 2);
  return input(reshaped(sorted.output(0), extents_of(sample)), sample);
}

// With n = (sin t/2, -cos t/2) a pair z becomes z - 2 n max(0, n z).
Emitter::Value OnnxEmitter::householder(Value x, const Tensor& theta, Pairing pairing) {
  const Shape sample = shape(x);
  const bool halves = pairing == Pairing::halves;
  const int64_t pairs = theta.numel();
  const Tensor normal = Tensor::empty({2 * pairs}, DType::f32), twice = Tensor::empty({2 * pairs}, DType::f32);
  for (int64_t i = 0; i < pairs; ++i) {
    const double half = theta.data<float>()[i] / 2.0;
    const int64_t a = halves ? i : 2 * i, b = halves ? pairs + i : 2 * i + 1;
    normal.data<float>()[a] = static_cast<float>(std::sin(half));
    normal.data<float>()[b] = static_cast<float>(-std::cos(half));
    twice.data<float>()[a] = static_cast<float>(2 * std::sin(half));
    twice.data<float>()[b] = static_cast<float>(-2 * std::cos(half));
  }
  std::vector<int64_t> meeting = {halves ? 2 : pairs, halves ? pairs : 2};
  meeting.resize(sample.rank() == 1 ? 2 : 4, 1);
  const Shape beside{std::span<const int64_t>(meeting)};
  const std::string z = reshaped(name(x), split_channels(sample, 2, halves));
  const std::string products = writer_.node("Mul", {z, writer_.tensor(normal, "normal", beside)}).output(0);
  const std::string side = writer_.node("Relu", {reduced("ReduceSum", products, halves ? 1 : 2)}).output(0);
  const std::string move = writer_.node("Mul", {side, writer_.tensor(twice, "twice_normal", beside)}).output(0);
  return input(reshaped(writer_.node("Sub", {z, move}).output(0), extents_of(sample)), sample);
}

Emitter::Value OnnxEmitter::unary(UnaryOp op, Value x) {
  const char* type = nullptr;
  switch (op) {
    case UnaryOp::relu:
      type = "Relu";
      break;
    case UnaryOp::abs:
      type = "Abs";
      break;
    case UnaryOp::sqrt:
      type = "Sqrt";
      break;
    case UnaryOp::exp:
      type = "Exp";
      break;
    case UnaryOp::log:
      type = "Log";
      break;
    case UnaryOp::reciprocal:
      type = "Reciprocal";
      break;
    case UnaryOp::sigmoid:
      type = "Sigmoid";
      break;
    case UnaryOp::tanh:
      type = "Tanh";
      break;
    case UnaryOp::square:
      return known(writer_.node("Mul", {name(x), name(x)}), shape(x));
  }
  GSNET_CHECK(type != nullptr, "an elementwise operator has no ONNX name");
  return known(writer_.node(type, {name(x)}), shape(x));
}

Emitter::Value OnnxEmitter::clip(Value x, double low, double high) {
  std::vector<std::string> inputs = {name(x), std::isfinite(low) ? writer_.number(low) : std::string()};
  if (std::isfinite(high)) inputs.push_back(writer_.number(high));
  return known(writer_.node("Clip", inputs), shape(x));
}

Emitter::Value OnnxEmitter::prelu(Value x, const Tensor& slope) {
  return known(writer_.node("PRelu", {name(x), a_channel(slope, "weight", x)}), shape(x));
}

Emitter::Value OnnxEmitter::softmax(Value x) {
  onnx::NodeProto& node = writer_.node("Softmax", {name(x)});
  set(node, "axis", 1);
  return known(node, shape(x));
}

Emitter::Value OnnxEmitter::binary(BinaryOp op, Value a, Value b) {
  const char* type = op == BinaryOp::add ? "Add" : op == BinaryOp::subtract ? "Sub" : "Mul";
  return known(writer_.node(type, {name(a), name(b)}), shape(a));
}

Emitter::Value OnnxEmitter::concat(std::span<const Value> x) {
  std::vector<std::string> inputs;
  int64_t channels = 0;
  for (const Value part : x) {
    inputs.push_back(name(part));
    channels += shape(part)[0];
  }
  onnx::NodeProto& node = writer_.node("Concat", inputs);
  set(node, "axis", 1);
  return known(node, shape(x[0]).with(0, channels));
}

std::string OnnxEmitter::scaled(Value x, double factor) {
  return factor == 1 ? name(x) : writer_.node("Mul", {name(x), writer_.number(factor)}).output(0);
}

Emitter::Value OnnxEmitter::axpby(double alpha, Value x, double beta, Value z) {
  return known(writer_.node("Add", {scaled(x, alpha), scaled(z, beta)}), shape(x));
}

}  // namespace gsnet::io
