#include "layers/net_builder.h"

#include <utility>

namespace gsnet {

void NetBuilder::add(std::string name, std::string type, Attributes attributes, std::vector<std::string> inputs) {
  net_.nodes.push_back({std::move(name), std::move(type), std::move(inputs), std::move(attributes)});
}

void NetBuilder::conv(std::string name, const ConvLayer& layer, std::vector<std::string> inputs) {
  Attributes attributes = {{"channels", layer.channels},
                           {"kernel", layer.kernel},
                           {"stride", layer.stride},
                           {"padding", layer.padding},
                           {"bias", false}};
  if (layer.groups != 1) attributes.set("groups", layer.groups);
  add(std::move(name), "conv2d", std::move(attributes), std::move(inputs));
}

void NetBuilder::norm(std::string name, std::vector<std::string> inputs) {
  add(std::move(name), "batch_norm", {{"statistics", statistics_}}, std::move(inputs));
}

void NetBuilder::relu6(std::string name) { add(std::move(name), "clip", {{"min", int64_t{0}}, {"max", int64_t{6}}}); }

void NetBuilder::sum(std::string name, std::string a, std::string b) {
  add(std::move(name), "add", {}, {std::move(a), std::move(b)});
}

}  // namespace gsnet
