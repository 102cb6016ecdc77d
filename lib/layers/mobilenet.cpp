#include "layers/mobilenet.h"

#include <fmt/format.h>

#include "core/error.h"
#include "layers/net_builder.h"

namespace gsnet {
namespace {

/// A row of the papers' tables: `count` blocks, the first with the stride.
struct Stage {
  int64_t expand, channels, count, stride;
};

/// conv, batch norm and ReLU6 as a sequence: prefix0, prefix1, prefix2.
void conv_norm_relu6(NetBuilder& net, const std::string& prefix, const ConvLayer& layer) {
  net.conv(prefix + "0", layer);
  net.norm(prefix + "1");
  net.relu6(prefix + "2");
}

/// Expansion (none by 1), depthwise convolution, projection without activation; a shortcut where shapes allow one.
void inverted_residual(NetBuilder& net, const std::string& prefix, int64_t in, const Stage& stage, int64_t stride) {
  const std::string before = net.last();
  const int64_t hidden = in * stage.expand;
  int at = 0;
  if (stage.expand != 1) conv_norm_relu6(net, fmt::format("{}conv.{}.", prefix, at++), {.channels = hidden});
  conv_norm_relu6(net, fmt::format("{}conv.{}.", prefix, at++),
                  {.channels = hidden, .kernel = 3, .stride = stride, .padding = 1, .groups = hidden});
  net.conv(fmt::format("{}conv.{}", prefix, at), {.channels = stage.channels});
  net.norm(fmt::format("{}conv.{}", prefix, at + 1));
  if (stride == 1 && in == stage.channels) net.sum(prefix + "sum", before, net.last());
}

/// features.`first` and on. Returns the channels of the last.
int64_t stages(NetBuilder& net, int first, int64_t channels, std::initializer_list<Stage> rows) {
  for (const Stage& stage : rows) {
    for (int64_t i = 0; i < stage.count; ++i) {
      inverted_residual(net, fmt::format("features.{}.", first++), channels, stage, i == 0 ? stage.stride : 1);
      channels = stage.channels;
    }
  }
  return channels;
}

}  // namespace

Description mobilenetv2(std::string_view name, const Attributes& settings, const Shape& input, int64_t classes) {
  settings.allow_only({"statistics"});
  GSNET_CHECK(input.rank() == 3 && input[1] >= 32 && input[2] >= 32,
              fmt::format("{} needs pictures of at least 32 x 32, got {}", name, to_string(input)));
  GSNET_CHECK(classes >= 1, fmt::format("needs at least one output, got {}", classes));
  NetBuilder net(settings, input);
  conv_norm_relu6(net, "features.0.", {.channels = 32, .kernel = 3, .stride = 2, .padding = 1});
  stages(net, 1, 32,
         {{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}});
  conv_norm_relu6(net, "features.18.", {.channels = 1280});
  net.add("avgpool", "pool", {{"global", true}});
  net.add("flatten", "flatten");
  net.add("classifier.1", "linear", {{"features", classes}});
  return net.take();
}

Description mobilefacenet(std::string_view name, const Attributes& settings, const Shape& input, int64_t size) {
  settings.allow_only({"statistics"});
  GSNET_CHECK(input == Shape({3, 112, 112}),
              fmt::format("{} takes pictures (3, 112, 112), got {}", name, to_string(input)));
  GSNET_CHECK(size >= 1, fmt::format("needs at least one output, got {}", size));
  NetBuilder net(settings, input);
  conv_norm_relu6(net, "conv1.", {.channels = 64, .kernel = 3, .stride = 2, .padding = 1});
  net.conv("dw_conv.depthwise", {.channels = 64, .kernel = 3, .padding = 1, .groups = 64});
  net.norm("dw_conv.bn1");
  net.add("dw_conv.relu1", "relu");
  net.conv("dw_conv.pointwise", {.channels = 64});
  net.norm("dw_conv.bn2");
  net.add("dw_conv.relu2", "relu");
  stages(net, 0, 64, {{2, 64, 5, 2}, {4, 128, 1, 2}, {2, 128, 6, 1}, {4, 128, 1, 2}, {2, 128, 2, 1}});
  conv_norm_relu6(net, "conv2.", {.channels = 512});
  net.conv("gdconv.depthwise", {.channels = 512, .kernel = 7, .groups = 512});
  net.norm("gdconv.bn");
  net.add("conv3", "conv2d", {{"channels", size}, {"kernel", int64_t{1}}});
  net.norm("bn");
  net.add("flatten", "flatten");
  return net.take();
}

}  // namespace gsnet
