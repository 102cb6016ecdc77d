// Convolutions, matrices, batch normalisation.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "backend/conv.h"
#include "core/error.h"
#include "io/onnx/operators.h"

namespace gsnet::io {
namespace {

Tensor real(const Tensor& constant) {
  GSNET_CHECK(constant.dtype() != DType::i64, "integers where weights are expected");
  return constant;
}

/// (n) numbers. Throws Error for others.
Tensor vector_of(const Tensor& constant, int64_t n, const char* what) {
  GSNET_CHECK(constant.shape() == Shape{n},
              fmt::format("the {} has {}, expected ({})", what, to_string(constant.shape()), n));
  return real(constant);
}

OnnxValue conv(OnnxNetwork& network, const OnnxNode& node) {
  const OnnxValue& x = node.layer(0);
  const Tensor w = real(node.constant(1));
  const Shape& map = map_of(x);
  GSNET_CHECK(w.shape().rank() == 4 && w.numel() > 0,
              fmt::format("weights of {}, expected (O, I, Kh, Kw)", to_string(w.shape())));
  const std::array<int64_t, 2> kernel = {w.shape()[2], w.shape()[3]};
  GSNET_CHECK(!node.has("kernel_shape") || pair_of(node, "kernel_shape") == kernel,
              fmt::format("kernel_shape is not that of weights {}", to_string(w.shape())));
  ConvSpec spec;
  spec.stride = pair_of(node, "strides");
  spec.dilation = pair_of(node, "dilations");
  spec.pad = padding_of(node, map, kernel, spec.stride, spec.dilation);
  spec.groups = node.integer("group", 1);
  const Shape y = conv2d_shape({1, map[0], map[1], map[2]}, w.shape(), spec);
  OnnxNetwork::Parts parts;
  Attributes& settings = parts.attributes;
  settings.set("channels", y[1]);
  settings.set("kernel", compact(kernel));
  if (spec.stride != std::array<int64_t, 2>{1, 1}) settings.set("stride", compact(spec.stride));
  if (spec.pad != std::array<int64_t, 4>{0, 0, 0, 0}) settings.set("padding", compact(spec.pad));
  if (spec.dilation != std::array<int64_t, 2>{1, 1}) settings.set("dilation", compact(spec.dilation));
  if (spec.groups != 1) settings.set("groups", spec.groups);
  parts.tensors.emplace_back("weight", w);
  if (const Tensor* bias = node.constant_if(2)) {
    parts.tensors.emplace_back("bias", vector_of(*bias, y[1], "bias"));
  } else {
    settings.set("bias", false);
  }
  return network.add("conv2d", {&x}, {y[1], y[2], y[3]}, std::move(parts));
}

/// factor w or its transpose, (O, I).
Tensor matrix_of(const Tensor& w, bool transpose, double factor) {
  GSNET_CHECK(w.shape().rank() == 2 && w.numel() > 0,
              fmt::format("weights of {}, expected a matrix", to_string(w.shape())));
  if (!transpose && factor == 1) return real(w);
  const std::vector<double> from = numbers_of(real(w));
  const int64_t rows = w.shape()[0], columns = w.shape()[1];
  std::vector<double> to(from.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t at = transpose ? c * rows + r : r * columns + c;
      to[static_cast<size_t>(at)] = factor * from[static_cast<size_t>(r * columns + c)];
    }
  }
  return Tensor::of(transpose ? Shape{columns, rows} : w.shape(), std::span<const double>(to));
}

OnnxValue linear(OnnxNetwork& network, const OnnxValue& x, const Tensor& w, const Tensor* bias) {
  GSNET_CHECK(x.sample.rank() == 1 && x.sample[0] == w.shape()[1],
              fmt::format("a matrix {} (O, I) on samples of {}", to_string(w.shape()), to_string(x.sample)));
  OnnxNetwork::Parts parts;
  parts.attributes.set("features", w.shape()[0]);
  parts.tensors.emplace_back("weight", w);
  if (bias != nullptr) parts.tensors.emplace_back("bias", *bias);
  if (bias == nullptr) parts.attributes.set("bias", false);
  return network.add("linear", {&x}, {w.shape()[0]}, std::move(parts));
}

OnnxValue gemm(OnnxNetwork& network, const OnnxNode& node) {
  GSNET_CHECK(node.integer("transA", 0) == 0, "transA mixes the batch with the features");
  const Tensor w = matrix_of(node.constant(1), node.integer("transB", 0) == 0, node.number("alpha", 1));
  const Tensor* c = node.constant_if(2);
  const double beta = node.number("beta", 1);
  if (c == nullptr || beta == 0) return linear(network, node.layer(0), w, nullptr);
  std::vector<double> bias = channel_numbers(real(*c), {w.shape()[0]});
  for (double& value : bias) value *= beta;
  const Tensor shift = channel_tensor(bias);
  return linear(network, node.layer(0), w, &shift);
}

OnnxValue matmul(OnnxNetwork& network, const OnnxNode& node) {
  return linear(network, node.layer(0), matrix_of(node.constant(1), true, 1), nullptr);
}

OnnxValue batch_normalisation(OnnxNetwork& network, const OnnxNode& node) {
  const OnnxValue& x = node.layer(0);
  GSNET_CHECK(node.integer("training_mode", 0) == 0, "it normalises with the batch's statistics");
  GSNET_CHECK(node.integer("spatial", 1) == 1 || x.sample.rank() == 1, "its statistics are a pixel's, not a channel's");
  const double epsilon = node.number("epsilon", 1e-5);
  OnnxNetwork::Parts parts;
  if (epsilon != 1e-5) parts.attributes.set("epsilon", epsilon);
  const char* const names[] = {"weight", "bias", "running_mean", "running_var"};
  for (size_t i = 0; i < 4; ++i)
    parts.tensors.emplace_back(names[i], vector_of(node.constant(i + 1), x.sample[0], names[i]));
  const std::vector<double> variances = numbers_of(parts.tensors[3].second);
  for (const double value : variances) GSNET_CHECK(value >= 0, fmt::format("it has a variance of {}", value));
  return network.add("batch_norm", {&x}, x.sample, std::move(parts));
}

constexpr std::initializer_list<const char*> kConv = {"auto_pad",     "dilations", "group",
                                                      "kernel_shape", "pads",      "strides"};
constexpr std::initializer_list<const char*> kGemm = {"alpha", "beta", "transA", "transB", "broadcast"};
constexpr std::initializer_list<const char*> kNorm = {"epsilon", "momentum", "spatial", "training_mode"};
constexpr Operator kTable[] = {{"Conv", conv, kConv},
                               {"Gemm", gemm, kGemm},
                               {"MatMul", matmul, {}},
                               {"BatchNormalization", batch_normalisation, kNorm}};

}  // namespace

std::span<const Operator> product_operators() { return kTable; }

}  // namespace gsnet::io
