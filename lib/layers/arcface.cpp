#include "layers/arcface.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "layers/net_builder.h"

namespace gsnet {
namespace {

struct Plan {
  std::string_view name;
  std::array<int, 4> blocks;
};

constexpr std::array<Plan, 5> kPlans = {{{"iresnet18", {2, 2, 2, 2}},
                                         {"iresnet34", {3, 4, 6, 3}},
                                         {"iresnet50", {3, 4, 14, 3}},
                                         {"iresnet100", {3, 13, 30, 3}},
                                         {"iresnet200", {6, 26, 60, 6}}}};

void residual(NetBuilder& net, const std::string& prefix, int64_t channels, int64_t stride) {
  const std::string before = net.last();
  net.norm(prefix + "bn1");
  net.conv(prefix + "conv1", {.channels = channels, .kernel = 3, .padding = 1});
  net.norm(prefix + "bn2");
  net.add(prefix + "prelu", "prelu");
  net.conv(prefix + "conv2", {.channels = channels, .kernel = 3, .stride = stride, .padding = 1});
  net.norm(prefix + "bn3");
  const std::string branch = net.last();
  std::string shortcut = before;
  if (stride != 1) {
    net.conv(prefix + "downsample.0", {.channels = channels, .stride = stride}, {before});
    net.norm(prefix + "downsample.1");
    shortcut = net.last();
  }
  net.sum(prefix + "sum", branch, shortcut);
}

}  // namespace

Description iresnet(std::string_view name, const Attributes& settings, const Shape& input, int64_t size) {
  settings.allow_only({"statistics"});
  const auto plan = std::ranges::find(kPlans, name, &Plan::name);
  GSNET_CHECK(plan != kPlans.end(), fmt::format("unknown residual network '{}'", name));
  GSNET_CHECK(input.rank() == 3 && input[1] >= 16 && input[2] >= 16,
              fmt::format("{} needs pictures of at least 16 x 16, got {}", name, to_string(input)));
  GSNET_CHECK(size >= 1, fmt::format("needs at least one output, got {}", size));
  NetBuilder net(settings, input);
  net.conv("conv1", {.channels = 64, .kernel = 3, .padding = 1});
  net.norm("bn1");
  net.add("prelu", "prelu");
  for (size_t stage = 0; stage < plan->blocks.size(); ++stage) {
    for (int i = 0; i < plan->blocks[stage]; ++i) {
      residual(net, fmt::format("layer{}.{}.", stage + 1, i), int64_t{64} << stage, i == 0 ? 2 : 1);
    }
  }
  net.norm("bn2");
  net.add("flatten", "flatten");
  net.add("fc", "linear", {{"features", size}});
  net.norm("features");
  return net.take();
}

namespace {

/// conv and batch norm as a sequence: prefix0, prefix1.
void conv_norm(NetBuilder& net, const std::string& prefix, const ConvLayer& layer) {
  net.conv(prefix + "0", layer);
  net.norm(prefix + "1");
}

/// And PReLU: prefix2.
void conv_norm_prelu(NetBuilder& net, const std::string& prefix, const ConvLayer& layer) {
  conv_norm(net, prefix, layer);
  net.add(prefix + "2", "prelu");
}

void depthwise(NetBuilder& net, const std::string& prefix, int64_t channels, int64_t hidden, int64_t stride) {
  conv_norm_prelu(net, prefix + "layers.0.layers.", {.channels = hidden});
  conv_norm_prelu(net, prefix + "layers.1.layers.",
                  {.channels = hidden, .kernel = 3, .stride = stride, .padding = 1, .groups = hidden});
  conv_norm(net, prefix + "layers.2.layers.", {.channels = channels});
}

/// Blocks with shortcuts.
void depthwise_residuals(NetBuilder& net, const std::string& prefix, int count, int64_t channels, int64_t hidden) {
  for (int i = 0; i < count; ++i) {
    const std::string before = net.last(), block = fmt::format("{}layers.{}.", prefix, i);
    depthwise(net, block, channels, hidden, 1);
    net.sum(block + "sum", before, net.last());
  }
}

}  // namespace

Description mbf(std::string_view name, const Attributes& settings, const Shape& input, int64_t size) {
  settings.allow_only({"statistics"});
  GSNET_CHECK(input == Shape({3, 112, 112}),
              fmt::format("{} takes pictures (3, 112, 112), got {}", name, to_string(input)));
  GSNET_CHECK(size >= 1, fmt::format("needs at least one output, got {}", size));
  NetBuilder net(settings, input);
  conv_norm_prelu(net, "layers.0.layers.", {.channels = 128, .kernel = 3, .stride = 2, .padding = 1});
  conv_norm_prelu(net, "layers.1.layers.", {.channels = 128, .kernel = 3, .padding = 1, .groups = 64});
  depthwise(net, "layers.2.", 128, 128, 2);
  depthwise_residuals(net, "layers.3.", 4, 128, 128);
  depthwise(net, "layers.4.", 256, 256, 2);
  depthwise_residuals(net, "layers.5.", 6, 256, 256);
  depthwise(net, "layers.6.", 256, 512, 2);
  depthwise_residuals(net, "layers.7.", 2, 256, 256);
  conv_norm_prelu(net, "conv_sep.layers.", {.channels = 512});
  conv_norm(net, "features.layers.0.layers.", {.channels = 512, .kernel = 7, .groups = 512});
  net.add("features.layers.1", "flatten");
  net.add("features.layers.2", "linear", {{"features", size}, {"bias", false}});
  net.norm("features.layers.3");
  return net.take();
}

}  // namespace gsnet
