#include "layers/resnet_cifar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/error.h"
#include "layers/net_builder.h"

namespace gsnet {
namespace {

constexpr std::array<std::pair<std::string_view, int>, 5> kBlocks = {
    {{"resnet20", 3}, {"resnet32", 5}, {"resnet44", 7}, {"resnet56", 9}, {"resnet110", 18}}};

void convolution(NetBuilder& net, const std::string& prefix, int index, int64_t channels, int64_t stride) {
  net.conv(fmt::format("{}conv{}", prefix, index), {.channels = channels, .kernel = 3, .stride = stride, .padding = 1});
  net.norm(fmt::format("{}bn{}", prefix, index));
}

void block(NetBuilder& net, const std::string& prefix, int64_t channels, int64_t stride) {
  const std::string before = net.last();
  convolution(net, prefix, 1, channels, stride);
  net.add(prefix + "relu1", "relu");
  convolution(net, prefix, 2, channels, 1);
  std::string shortcut = before;
  if (stride != 1) {
    net.add(prefix + "subsample", "pool", {{"kernel", int64_t{1}}, {"stride", stride}}, {before});
    net.add(prefix + "shortcut", "pad_channels", {{"before", channels / 4}, {"after", channels / 4}});
    shortcut = net.last();
  }
  net.sum(prefix + "sum", prefix + "bn2", shortcut);
  net.add(prefix + "relu2", "relu");
}

}  // namespace

Description resnet_cifar(std::string_view name, const Attributes& settings, const Shape& input, int64_t classes) {
  settings.allow_only({"statistics"});
  const auto plan = std::ranges::find(kBlocks, name, &std::pair<std::string_view, int>::first);
  GSNET_CHECK(plan != kBlocks.end(), fmt::format("unknown residual network '{}'", name));
  GSNET_CHECK(input.rank() == 3 && input[1] >= 4 && input[2] >= 4,
              fmt::format("needs pictures of at least 4 x 4, got {}", to_string(input)));
  GSNET_CHECK(classes >= 2, fmt::format("needs at least two classes, got {}", classes));
  NetBuilder net(settings, input);
  convolution(net, "", 1, 16, 1);
  net.add("relu1", "relu");
  for (int64_t stage = 1, channels = 16; stage <= 3; ++stage, channels *= 2) {
    for (int i = 0; i < plan->second; ++i) {
      block(net, fmt::format("layer{}.{}.", stage, i), channels, stage > 1 && i == 0 ? 2 : 1);
    }
  }
  net.add("pool", "pool", {{"global", true}});
  net.add("flatten", "flatten");
  net.add("linear", "linear", {{"features", classes}});
  return net.take();
}

}  // namespace gsnet
