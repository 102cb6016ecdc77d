#include "layers/resnet.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "layers/net_builder.h"

namespace gsnet {
namespace {

struct Plan {
  std::string_view name;
  bool bottleneck;
  std::array<int, 4> blocks;
};

constexpr std::array<Plan, 5> kPlans = {{{"resnet18", false, {2, 2, 2, 2}},
                                         {"resnet34", false, {3, 4, 6, 3}},
                                         {"resnet50", true, {3, 4, 6, 3}},
                                         {"resnet101", true, {3, 4, 23, 3}},
                                         {"resnet152", true, {3, 8, 36, 3}}}};

/// conv and bn of one index, and a relu unless it is the block's last.
void convolution(NetBuilder& net, const std::string& prefix, int index, const ConvLayer& layer, bool last) {
  net.conv(fmt::format("{}conv{}", prefix, index), layer);
  net.norm(fmt::format("{}bn{}", prefix, index));
  if (!last) net.add(fmt::format("{}relu{}", prefix, index), "relu");
}

void block(NetBuilder& net, const Plan& plan, const std::string& prefix, int64_t width, int64_t stride, bool widens) {
  const std::string before = net.last();
  const int64_t out = plan.bottleneck ? 4 * width : width;
  const ConvLayer spatial = {.channels = width, .kernel = 3, .padding = 1};
  ConvLayer strided = spatial;
  strided.stride = stride;
  if (plan.bottleneck) {
    convolution(net, prefix, 1, {.channels = width}, false);
    convolution(net, prefix, 2, strided, false);
    convolution(net, prefix, 3, {.channels = out}, true);
  } else {
    convolution(net, prefix, 1, strided, false);
    convolution(net, prefix, 2, spatial, true);
  }
  const std::string branch = net.last();
  std::string shortcut = before;
  if (widens) {
    net.conv(prefix + "downsample.0", {.channels = out, .stride = stride}, {before});
    net.norm(prefix + "downsample.1");
    shortcut = net.last();
  }
  net.sum(prefix + "sum", branch, shortcut);
  net.add(prefix + "relu", "relu");
}

}  // namespace

Description resnet(std::string_view name, const Attributes& settings, const Shape& input, int64_t classes) {
  settings.allow_only({"statistics"});
  const auto plan = std::ranges::find(kPlans, name, &Plan::name);
  GSNET_CHECK(plan != kPlans.end(), fmt::format("unknown residual network '{}'", name));
  GSNET_CHECK(input.rank() == 3 && input[1] >= 32 && input[2] >= 32,
              fmt::format("{} needs pictures of at least 32 x 32, got {}", name, to_string(input)));
  GSNET_CHECK(classes >= 1, fmt::format("needs at least one output, got {}", classes));
  NetBuilder net(settings, input);
  convolution(net, "", 1, {.channels = 64, .kernel = 7, .stride = 2, .padding = 3}, false);
  net.add("maxpool", "pool",
          {{"kind", std::string("max")}, {"kernel", int64_t{3}}, {"stride", int64_t{2}}, {"padding", int64_t{1}}});
  for (size_t stage = 0; stage < plan->blocks.size(); ++stage) {
    const int64_t width = int64_t{64} << stage;
    for (int i = 0; i < plan->blocks[stage]; ++i) {
      const int64_t stride = stage > 0 && i == 0 ? 2 : 1;
      const bool widens = i == 0 && (stage > 0 || plan->bottleneck);
      block(net, *plan, fmt::format("layer{}.{}.", stage + 1, i), width, stride, widens);
    }
  }
  net.add("avgpool", "pool", {{"global", true}});
  net.add("flatten", "flatten");
  net.add("fc", "linear", {{"features", classes}});
  return net.take();
}

}  // namespace gsnet
