#include "layers/architectures.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "layers/arcface.h"
#include "layers/lipconvnet.h"
#include "layers/mobilenet.h"
#include "layers/resnet.h"
#include "layers/resnet_cifar.h"

namespace gsnet {
namespace {

Description any_lipconvnet(std::string_view, const Attributes& settings, const Shape& input, int64_t classes) {
  return lipconvnet(settings, input, classes);
}

std::vector<Architecture> table() {
  const Shape cifar = {3, 32, 32}, face = {3, 112, 112}, imagenet = {3, 224, 224};
  std::vector<Architecture> made = {{"lipconvnet", any_lipconvnet}};
  for (const char* name : {"resnet20", "resnet32", "resnet44", "resnet56", "resnet110"}) {
    made.push_back({name, resnet_cifar, cifar, "linear.weight"});
  }
  for (const char* name : {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152"}) {
    made.push_back({name, resnet, imagenet, "fc.weight"});
  }
  made.push_back({"mobilenetv2", mobilenetv2, imagenet, "classifier.1.weight"});
  made.push_back({"mobilefacenet", mobilefacenet, face, "conv3.weight", true});
  for (const char* name : {"iresnet18", "iresnet34", "iresnet50", "iresnet100", "iresnet200"}) {
    made.push_back({name, iresnet, face, "fc.weight", true});
  }
  made.push_back({"mbf", mbf, face, "features.layers.2.weight", true});
  return made;
}

}  // namespace

std::span<const Architecture> architectures() {
  static const std::vector<Architecture> all = table();
  return all;
}

const Architecture& find_architecture(std::string_view name) {
  const auto all = architectures();
  const auto found = std::ranges::find(all, name, &Architecture::name);
  if (found != all.end()) return *found;
  std::vector<std::string_view> names;
  for (const Architecture& one : all) names.push_back(one.name);
  throw Error(fmt::format("unknown architecture '{}'; known are {}", name, fmt::join(names, ", ")));
}

Description make_architecture(std::string_view name, const Attributes& settings, const Shape& input, int64_t outputs) {
  return find_architecture(name).describe(name, settings, input, outputs);
}

}  // namespace gsnet
