// Windows: pooling, means over the map, padding.
#include <fmt/format.h>

#include <algorithm>

#include "backend/pool.h"
#include "core/error.h"
#include "io/onnx/operators.h"

namespace gsnet::io {
namespace {

constexpr int64_t kMostPadding = 65'536;

/// With ceil_mode one more window may begin inside the map and hang over its end: rows and columns to add there.
std::array<int64_t, 2> overhang(const PoolSpec& spec, const Shape& map) {
  std::array<int64_t, 2> more = {0, 0};
  for (size_t i = 0; i < 2; ++i) {
    const int64_t extent = map[static_cast<int>(i) + 1],
                  reach = extent + spec.pad[i] + spec.pad[i + 2] - spec.kernel[i];
    if (reach < 0) continue;  // refused when the shape is worked out
    int64_t last = (reach + spec.stride[i] - 1) / spec.stride[i] * spec.stride[i];
    if (last >= extent + spec.pad[i]) last -= spec.stride[i];  // it would see padding only
    more[i] = std::max<int64_t>(0, last - reach);
  }
  return more;
}

OnnxValue pool(OnnxNetwork& network, const OnnxNode& node, const char* kind) {
  const OnnxValue& x = node.layer(0);
  const Shape& map = map_of(x);
  PoolSpec spec;
  GSNET_CHECK(node.has("kernel_shape"), "attribute 'kernel_shape' is missing");
  GSNET_CHECK(pair_of(node, "dilations") == (std::array<int64_t, 2>{1, 1}), "dilations are not supported");
  spec.kernel = pair_of(node, "kernel_shape");
  spec.stride = pair_of(node, "strides");
  spec.pad = padding_of(node, map, spec.kernel, spec.stride, {1, 1});
  spec.count_pad = node.integer("count_include_pad", 0) != 0;
  const bool padded = spec.pad != std::array<int64_t, 4>{0, 0, 0, 0};
  if (node.integer("ceil_mode", 0) != 0) {
    const std::array<int64_t, 2> more = overhang(spec, map);
    GSNET_CHECK(more == (std::array<int64_t, 2>{0, 0}) || !(spec.count_pad && padded),
                "ceil_mode with padding that counts is not supported");
    spec.count_pad = spec.count_pad && padded;  // what hangs over never counts
    spec.pad[2] += more[0];
    spec.pad[3] += more[1];
  }
  const Shape y = pool_shape({1, map[0], map[1], map[2]}, spec);
  Attributes settings = {
      {"kind", std::string(kind)}, {"kernel", compact(spec.kernel)}, {"stride", compact(spec.stride)}};
  if (spec.pad != std::array<int64_t, 4>{0, 0, 0, 0}) settings.set("padding", compact(spec.pad));
  if (spec.count_pad && padded) settings.set("count_pad", true);
  return network.add("pool", {&x}, {y[1], y[2], y[3]}, {std::move(settings), {}});
}

OnnxValue max_pool(OnnxNetwork& network, const OnnxNode& node) {
  GSNET_CHECK(node.integer("storage_order", 0) == 0, "storage_order is not supported");
  return pool(network, node, "max");
}

OnnxValue average_pool(OnnxNetwork& network, const OnnxNode& node) { return pool(network, node, "average"); }

OnnxValue norm_pool(OnnxNetwork& network, const OnnxNode& node) {
  GSNET_CHECK(node.integer("p", 2) == 2, "only p = 2 is supported");
  return pool(network, node, "l2");
}

OnnxValue whole_map(OnnxNetwork& network, const OnnxValue& x, const char* kind) {
  return network.add("pool", {&x}, {map_of(x)[0], 1, 1}, {{{"kind", std::string(kind)}, {"global", true}}, {}});
}

OnnxValue global_average(OnnxNetwork& network, const OnnxNode& node) {
  return whole_map(network, node.layer(0), "average");
}
OnnxValue global_max(OnnxNetwork& network, const OnnxNode& node) { return whole_map(network, node.layer(0), "max"); }

OnnxValue reduce_mean(OnnxNetwork& network, const OnnxNode& node) {
  const OnnxValue& x = node.layer(0);
  std::vector<int64_t> axes = node.integers("axes", 1);
  for (int64_t& axis : axes) axis = axis_of(axis, x.sample.rank() + 1);
  std::ranges::sort(axes);
  GSNET_CHECK(x.sample.rank() == 3 && axes == (std::vector<int64_t>{2, 3}),
              "only means over the whole map, axes 2 and 3, are supported");
  const OnnxValue mean = whole_map(network, x, "average");
  return node.integer("keepdims", 1) != 0 ? mean : network.add("flatten", mean, {x.sample[0]});
}

OnnxValue pad(OnnxNetwork& network, const OnnxNode& node) {
  const OnnxValue& x = node.layer(0);
  const Shape& map = map_of(x);
  const std::string mode = node.text("mode", "constant");
  GSNET_CHECK(mode == "constant", fmt::format("mode '{}' is not supported", mode));
  const double value = node.input(2) != nullptr ? number_of(node.constant(2)) : node.number("value", 0);
  const std::vector<int64_t> given = node.integers("pads", 1);
  std::vector<int64_t> axes = {0, 1, 2, 3};
  if (node.input(3) != nullptr) axes = integers_of(node.constant(3));
  GSNET_CHECK(given.size() == 2 * axes.size() && axes.size() <= 4,
              fmt::format("{} pads for {} axes", given.size(), axes.size()));
  std::array<std::array<int64_t, 2>, 4> pads{};
  for (size_t i = 0; i < axes.size(); ++i)
    pads[static_cast<size_t>(axis_of(axes[i], 4))] = {given[i], given[i + axes.size()]};
  for (const auto& ends : pads) {
    GSNET_CHECK(ends[0] >= 0 && ends[1] >= 0 && ends[0] <= kMostPadding && ends[1] <= kMostPadding,
                fmt::format("pads of {} and {}, expected 0 … {}", ends[0], ends[1], kMostPadding));
  }
  const std::array<int64_t, 2> none = {0, 0};
  GSNET_CHECK(pads[0] == none, "it pads the batch");
  OnnxValue y = x;
  if (pads[1] != none) {
    GSNET_CHECK(value == 0, "channels of another value than 0 are not supported");
    const Shape wider = map.with(0, map[0] + pads[1][0] + pads[1][1]);
    y = network.add("pad_channels", {&y}, wider, {{{"before", pads[1][0]}, {"after", pads[1][1]}}, {}});
  }
  if (pads[2] == none && pads[3] == none) return y;
  const std::array<int64_t, 4> sides = {pads[2][0], pads[3][0], pads[2][1], pads[3][1]};
  const Shape larger = {y.sample[0], map[1] + sides[0] + sides[2], map[2] + sides[1] + sides[3]};
  OnnxNetwork::Parts parts;
  parts.attributes.set("padding", compact(sides));
  if (value != 0) parts.attributes.set("value", value);
  return network.add("pad", {&y}, larger, std::move(parts));
}

constexpr std::initializer_list<const char*> kPool = {
    "auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "storage_order", "strides", "p"};
constexpr std::initializer_list<const char*> kPad = {"mode", "pads", "value"};
constexpr std::initializer_list<const char*> kMean = {"axes", "keepdims", "noop_with_empty_axes"};
constexpr Operator kTable[] = {{"MaxPool", max_pool, kPool},
                               {"AveragePool", average_pool, kPool},
                               {"LpPool", norm_pool, kPool},
                               {"GlobalAveragePool", global_average, {}},
                               {"GlobalMaxPool", global_max, {}},
                               {"ReduceMean", reduce_mean, kMean},
                               {"Pad", pad, kPad}};

}  // namespace

std::span<const Operator> pool_operators() { return kTable; }

}  // namespace gsnet::io
