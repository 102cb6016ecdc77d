// Writing a Description layer by layer, with the names that public state dicts give their modules.
#pragma once

#include <string>
#include <vector>

#include "layers/description.h"

namespace gsnet {

/// A convolution without bias, as a batch norm follows it.
struct ConvLayer {
  int64_t channels = 0;
  int64_t kernel = 1;
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t groups = 1;
};

class NetBuilder {
 public:
  /// Every batch norm gets the setting `statistics` ("frozen", unless set).
  NetBuilder(const Attributes& settings, const Shape& input)
      : net_{input, {}}, statistics_(settings.text("statistics", "frozen")) {}

  /// `inputs` empty: the layer before.
  void add(std::string name, std::string type, Attributes attributes = {}, std::vector<std::string> inputs = {});
  void conv(std::string name, const ConvLayer& layer, std::vector<std::string> inputs = {});
  void norm(std::string name, std::vector<std::string> inputs = {});
  void relu6(std::string name);
  void sum(std::string name, std::string a, std::string b);

  /// The name of the layer added last; "input" before the first.
  std::string last() const { return net_.nodes.empty() ? "input" : net_.nodes.back().name; }
  Description take() { return std::move(net_); }

 private:
  Description net_;
  std::string statistics_;
};

}  // namespace gsnet
