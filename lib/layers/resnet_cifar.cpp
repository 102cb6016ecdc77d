#include "layers/resnet_cifar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/error.h"

namespace gsnet {
namespace {

constexpr std::array<std::pair<std::string_view, int>, 5> kBlocks = {
    {{"resnet20", 3}, {"resnet32", 5}, {"resnet44", 7}, {"resnet56", 9}, {"resnet110", 18}}};

const auto* find(std::string_view name) {
  return std::ranges::find(kBlocks, name, &std::pair<std::string_view, int>::first);
}

class Builder {
 public:
  Builder(const Attributes& settings, const Shape& input) : statistics_(settings.text("statistics", "frozen")) {
    net.input = input;
  }

  void add(std::string name, std::string type, Attributes attributes = {}, std::vector<std::string> inputs = {}) {
    net.nodes.push_back({std::move(name), std::move(type), std::move(inputs), std::move(attributes)});
  }
  void convolution(const std::string& prefix, int index, int64_t channels, int64_t stride) {
    add(fmt::format("{}conv{}", prefix, index), "conv2d",
        {{"channels", channels}, {"kernel", int64_t{3}}, {"stride", stride}, {"padding", int64_t{1}}, {"bias", false}});
    add(fmt::format("{}bn{}", prefix, index), "batch_norm", {{"statistics", statistics_}});
  }
  void block(const std::string& prefix, int64_t channels, int64_t stride);

  Description net;

 private:
  std::string statistics_;
};

void Builder::block(const std::string& prefix, int64_t channels, int64_t stride) {
  const std::string before = net.nodes.back().name;
  convolution(prefix, 1, channels, stride);
  add(prefix + "relu1", "relu");
  convolution(prefix, 2, channels, 1);
  std::string shortcut = before;
  if (stride != 1) {
    add(prefix + "subsample", "pool", {{"kernel", int64_t{1}}, {"stride", stride}}, {before});
    add(prefix + "shortcut", "pad_channels", {{"before", channels / 4}, {"after", channels / 4}});
    shortcut = prefix + "shortcut";
  }
  add(prefix + "sum", "add", {}, {prefix + "bn2", shortcut});
  add(prefix + "relu2", "relu");
}

}  // namespace

bool is_resnet_cifar(std::string_view name) { return find(name) != kBlocks.end(); }

Description resnet_cifar(std::string_view name, const Attributes& settings, const Shape& input, int64_t classes) {
  settings.allow_only({"statistics"});
  GSNET_CHECK(is_resnet_cifar(name), fmt::format("unknown residual network '{}'", name));
  GSNET_CHECK(input.rank() == 3 && input[1] >= 4 && input[2] >= 4,
              fmt::format("needs pictures of at least 4 x 4, got {}", to_string(input)));
  GSNET_CHECK(classes >= 2, fmt::format("needs at least two classes, got {}", classes));
  Builder builder(settings, input);
  builder.convolution("", 1, 16, 1);
  builder.add("relu1", "relu");
  for (int64_t stage = 1, channels = 16; stage <= 3; ++stage, channels *= 2) {
    for (int i = 0; i < find(name)->second; ++i) {
      builder.block(fmt::format("layer{}.{}.", stage, i), channels, stage > 1 && i == 0 ? 2 : 1);
    }
  }
  builder.add("pool", "pool", {{"global", true}});
  builder.add("flatten", "flatten");
  builder.add("linear", "linear", {{"features", classes}});
  return std::move(builder.net);
}

}  // namespace gsnet
