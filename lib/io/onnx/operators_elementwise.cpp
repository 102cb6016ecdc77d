// Activations, arithmetic, and what inference passes through.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "io/onnx/operators.h"

namespace gsnet::io {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

OnnxValue unary(OnnxNetwork& network, const OnnxNode& node, const char* type) {
  return network.add(type, node.layer(0), node.layer(0).sample);
}

OnnxValue relu(OnnxNetwork& network, const OnnxNode& node) { return unary(network, node, "relu"); }
OnnxValue sigmoid(OnnxNetwork& network, const OnnxNode& node) { return unary(network, node, "sigmoid"); }
OnnxValue tanh_layer(OnnxNetwork& network, const OnnxNode& node) { return unary(network, node, "tanh"); }
OnnxValue hard_swish(OnnxNetwork& network, const OnnxNode& node) { return unary(network, node, "hard_swish"); }

OnnxValue clipped(OnnxNetwork& network, const OnnxValue& x, double low, double high) {
  GSNET_CHECK(low <= high, fmt::format("it clips to {} … {}", low, high));
  if (low == 0 && high == kInfinity) return network.add("relu", x, x.sample);
  OnnxNetwork::Parts parts;
  if (low != -kInfinity) parts.attributes.set("min", low);
  if (high != kInfinity) parts.attributes.set("max", high);
  return parts.attributes.entries().empty() ? x : network.add("clip", {&x}, x.sample, std::move(parts));
}

OnnxValue clip(OnnxNetwork& network, const OnnxNode& node) {
  const auto bound = [&](const char* name, size_t i, double missing) {
    const double value = node.input(i) != nullptr ? number_of(node.constant(i)) : node.number(name, missing);
    // Exporters say "no bound" by the largest float.
    return std::abs(value) >= static_cast<double>(std::numeric_limits<float>::max()) ? missing : value;
  };
  return clipped(network, node.layer(0), bound("min", 1, -kInfinity), bound("max", 2, kInfinity));
}

OnnxValue leaky_relu(OnnxNetwork& network, const OnnxNode& node) {
  const double slope = node.number("alpha", 0.01);
  return network.add("leaky_relu", {&node.layer(0)}, node.layer(0).sample, {{{"slope", slope}}, {}});
}

OnnxValue prelu(OnnxNetwork& network, const OnnxNode& node) {
  const OnnxValue& x = node.layer(0);
  const Tensor& slope = node.constant(1);
  // Many files hold (C) although by the letter it would meet the last axis.
  const bool plain = slope.shape() == Shape{x.sample[0]};
  const std::vector<double> slopes = plain ? numbers_of(slope) : channel_numbers(slope, x.sample);
  return network.add("prelu", {&x}, x.sample, {{}, {{"weight", channel_tensor(slopes)}}});
}

/// a x + b, a number a channel each.
OnnxValue scale_shift(OnnxNetwork& network, const OnnxValue& x, std::vector<double> a, std::vector<double> b) {
  const auto channels = static_cast<size_t>(x.sample[0]);
  if (a.empty()) a.assign(channels, 1);
  if (b.empty()) b.assign(channels, 0);
  return network.add("scale_shift", {&x}, x.sample, {{}, {{"weight", channel_tensor(a)}, {"bias", channel_tensor(b)}}});
}

std::vector<double> mapped(std::vector<double> values, double (*map)(double)) {
  std::ranges::transform(values, values.begin(), map);
  return values;
}

double negative(double x) { return -x; }

double inverse(double x) {
  GSNET_CHECK(x != 0, "it divides by zero");
  return 1 / x;
}

/// Of the two inputs one that is computed and one that is constant; null where both are computed.
struct Operands {
  const OnnxValue* x;
  const Tensor* constant;
  bool constant_first;
};

Operands operands_of(const OnnxNode& node) {
  GSNET_CHECK(node.input_count() == 2 && node.input(0) != nullptr && node.input(1) != nullptr, "it needs two inputs");
  const bool first = node.input(0)->is_constant();
  const OnnxValue& x = node.layer(first ? 1 : 0);
  const OnnxValue& other = *node.input(first ? 0 : 1);
  return {&x, other.is_constant() ? &other.constant : nullptr, first};
}

OnnxValue of_two(OnnxNetwork& network, const OnnxNode& node, const char* type) {
  const OnnxValue &a = node.layer(0), &b = node.layer(1);
  GSNET_CHECK(a.sample == b.sample,
              fmt::format("samples of {} and {} differ", to_string(a.sample), to_string(b.sample)));
  return network.add(type, {&a, &b}, a.sample, {});
}

OnnxValue add(OnnxNetwork& network, const OnnxNode& node) {
  const Operands operands = operands_of(node);
  if (operands.constant == nullptr) return of_two(network, node, "add");
  const std::vector<double> shift = channel_numbers(*operands.constant, operands.x->sample);
  if (network.give_bias(*operands.x, channel_tensor(shift))) return *operands.x;
  return scale_shift(network, *operands.x, {}, shift);
}

OnnxValue subtract(OnnxNetwork& network, const OnnxNode& node) {
  const Operands operands = operands_of(node);
  if (operands.constant == nullptr) return of_two(network, node, "subtract");
  const std::vector<double> shift = channel_numbers(*operands.constant, operands.x->sample);
  if (!operands.constant_first) return scale_shift(network, *operands.x, {}, mapped(shift, negative));
  return scale_shift(network, *operands.x, std::vector<double>(shift.size(), -1), shift);
}

OnnxValue multiply(OnnxNetwork& network, const OnnxNode& node) {
  const Operands operands = operands_of(node);
  if (operands.constant != nullptr)
    return scale_shift(network, *operands.x, channel_numbers(*operands.constant, operands.x->sample), {});
  const OnnxValue *a = &node.layer(0), *b = &node.layer(1);
  if (a->sample.numel() < b->sample.numel()) std::swap(a, b);
  const bool gate = a->sample.rank() == 3 && b->sample == Shape{a->sample[0], 1, 1};
  GSNET_CHECK(gate || a->sample == b->sample,
              fmt::format("samples of {} and {} differ", to_string(a->sample), to_string(b->sample)));
  return network.add("multiply", {a, b}, a->sample, {});
}

OnnxValue divide(OnnxNetwork& network, const OnnxNode& node) {
  const Operands operands = operands_of(node);
  GSNET_CHECK(operands.constant != nullptr && !operands.constant_first, "it divides by something computed");
  return scale_shift(network, *operands.x, mapped(channel_numbers(*operands.constant, operands.x->sample), inverse),
                     {});
}

OnnxValue hard_sigmoid(OnnxNetwork& network, const OnnxNode& node) {
  const double alpha = node.number("alpha", 0.2), beta = node.number("beta", 0.5);
  OnnxNetwork::Parts parts;
  if (std::abs(alpha - 1.0 / 6) > 1e-7) parts.attributes.set("alpha", alpha);
  if (beta != 0.5) parts.attributes.set("beta", beta);
  return network.add("hard_sigmoid", {&node.layer(0)}, node.layer(0).sample, std::move(parts));
}

OnnxValue softmax(OnnxNetwork& network, const OnnxNode& node) {
  const OnnxValue& x = node.layer(0);
  const bool flat = x.sample.numel() == x.sample[0];  // then older versions, which flatten what follows, do the same
  const int64_t missing = node.opset() >= 13 ? -1 : 1;
  GSNET_CHECK(axis_of(node.integer("axis", missing), x.sample.rank() + 1) == 1 && (flat || node.opset() >= 13),
              fmt::format("it is not over the channels of samples {}", to_string(x.sample)));
  return network.add("softmax", x, x.sample);
}

OnnxValue pass(OnnxNetwork&, const OnnxNode& node) { return node.layer(0); }

OnnxValue dropout(OnnxNetwork&, const OnnxNode& node) {
  const bool training = node.input(2) != nullptr && number_of(node.constant(2)) != 0;
  GSNET_CHECK(!training, "it is in training mode");
  return node.layer(0);
}

OnnxValue cast(OnnxNetwork&, const OnnxNode& node) {
  const int64_t to = node.integer("to", 0);
  GSNET_CHECK(to == onnx::TensorProto::FLOAT || to == onnx::TensorProto::DOUBLE || to == onnx::TensorProto::FLOAT16,
              fmt::format("a cast to type {} is not supported", to));
  return node.layer(0);
}

constexpr Operator kTable[] = {{"Relu", relu, {}},
                               {"Sigmoid", sigmoid, {}},
                               {"Tanh", tanh_layer, {}},
                               {"HardSwish", hard_swish, {}},
                               {"HardSigmoid", hard_sigmoid, {"alpha", "beta"}},
                               {"LeakyRelu", leaky_relu, {"alpha"}},
                               {"PRelu", prelu, {}},
                               {"Clip", clip, {"min", "max"}},
                               {"Add", add, {}},
                               {"Sub", subtract, {}},
                               {"Mul", multiply, {}},
                               {"Div", divide, {}},
                               {"Softmax", softmax, {"axis"}},
                               {"Identity", pass, {}},
                               {"Dropout", dropout, {"ratio", "seed"}},
                               {"Cast", cast, {"to", "saturate"}}};

}  // namespace

std::span<const Operator> elementwise_operators() { return kTable; }

}  // namespace gsnet::io
