#include "io/onnx/network.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/error.h"

namespace gsnet::io {
namespace {

constexpr size_t kLongestName = 160;
/// Numbers that one sample may have between two layers.
constexpr int64_t kMostNumbers = int64_t{1} << 31;

std::vector<std::string> parts_of(const std::string& name, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find(separator, begin), name.size());
    if (end > begin) parts.push_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/// "Conv" or "Conv_3"
bool is_operator_name(const std::string& part, const std::string& op) {
  if (!part.starts_with(op)) return false;
  const std::string rest = part.substr(op.size());
  return rest.empty() ||
         (rest[0] == '_' && std::ranges::all_of(rest.substr(1), [](unsigned char c) { return std::isdigit(c) != 0; }));
}

/// Letters, digits, '_', '-' and '.' only, no empty parts.
std::string cleaned(const std::string& name) {
  std::string text;
  for (const char letter : name.substr(0, kLongestName)) {
    const bool fine = std::isalnum(static_cast<unsigned char>(letter)) != 0 || letter == '_' || letter == '-';
    if (letter == '.' && (text.empty() || text.back() == '.')) continue;
    text += fine || letter == '.' ? letter : '_';
  }
  while (text.ends_with('.')) text.pop_back();
  return text;
}

}  // namespace

std::string path_of_node(const std::string& name, const std::string& op) {
  if (name.find('/') == std::string::npos) return {};
  std::vector<std::string> parts = parts_of(name, '/');
  if (!parts.empty() && is_operator_name(parts.back(), op)) parts.pop_back();
  std::string path;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i + 1 < parts.size() && parts[i + 1].starts_with(parts[i] + ".")) continue;  // "layer1/layer1.0" says it twice
    path += (path.empty() ? "" : ".") + parts[i];
  }
  return cleaned(path);
}

std::string path_of_weight(const std::string& name) {
  constexpr std::string_view kEnd = ".weight";
  if (!name.ends_with(kEnd) || name.find_first_of(":/ ") != std::string::npos) return {};
  return cleaned(name.substr(0, name.size() - kEnd.size()));
}

void OnnxNetwork::begin_node(const OnnxNode& node, size_t index) {
  const onnx::NodeProto& proto = node.proto();
  first_ = true;
  base_ = path_of_node(proto.name(), node.op());
  if (base_.empty() && proto.input_size() > 1) base_ = path_of_weight(proto.input(1));
  if (base_.empty() && proto.name().find('/') == std::string::npos) base_ = cleaned(proto.name());
  if (!base_.empty()) return;
  base_ = fmt::format("{}{}", node.op(), index);
  std::ranges::transform(base_, base_.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
}

std::string OnnxNetwork::unique(const std::string& wanted) {
  std::string name = wanted;
  for (int i = 1; !names_.insert(name).second; ++i) name = fmt::format("{}_{}", wanted, i);
  return name;
}

OnnxValue OnnxNetwork::add(const std::string& type, const std::vector<const OnnxValue*>& inputs, const Shape& sample,
                           Parts parts) {
  GSNET_CHECK(sample.rank() >= 1 && sample.rank() <= 3,
              fmt::format("a sample of {} has {} axes, expected 1 to 3", to_string(sample), sample.rank()));
  GSNET_CHECK(sample.numel() >= 1 && sample.numel() <= kMostNumbers,
              fmt::format("a sample of {} is empty or too large", to_string(sample)));
  NodeDescription node{
      unique(first_ ? base_ : fmt::format("{}_{}", base_, type)), type, {}, std::move(parts.attributes)};
  first_ = false;
  for (const OnnxValue* input : inputs) node.inputs.push_back(input->layer);
  TensorFile own;
  for (auto& [name, tensor] : parts.tensors) own.tensors.emplace_back(node.name + "." + name, std::move(tensor));
  places_.emplace(node.name, description_.nodes.size());
  OnnxValue made{{}, node.name, sample};
  description_.nodes.push_back(std::move(node));
  tensors_.push_back(std::move(own));
  return made;
}

bool OnnxNetwork::give_bias(const OnnxValue& made, const Tensor& bias) {
  const auto place = places_.find(made.layer);
  if (made.uses != 1 || place == places_.end()) return false;
  NodeDescription& node = description_.nodes[place->second];
  if ((node.type != "conv2d" && node.type != "linear") || node.attributes.flag("bias", true)) return false;
  node.attributes.set("bias", true);
  tensors_[place->second].tensors.emplace_back(node.name + ".bias", bias);
  return true;
}

std::pair<Description, TensorFile> OnnxNetwork::finish(const OnnxValue& output) const {
  const auto last = places_.find(output.layer);
  GSNET_CHECK(last != places_.end(), "the output is the input, or a constant: there is no network");
  std::vector<bool> needed(description_.nodes.size());
  needed[last->second] = true;
  for (size_t i = description_.nodes.size(); i-- > 0;) {
    for (const std::string& input : description_.nodes[i].inputs) {
      if (needed[i] && input != "input") needed[places_.at(input)] = true;
    }
  }
  Description net;
  net.input = description_.input;
  TensorFile file;
  for (size_t i = 0; i < needed.size(); ++i) {
    if (!needed[i]) continue;
    NodeDescription node = description_.nodes[i];
    const std::string& before = net.nodes.empty() ? "input" : net.nodes.back().name;
    if (node.inputs.size() == 1 && node.inputs[0] == before) node.inputs.clear();
    net.nodes.push_back(std::move(node));
    for (const auto& named : tensors_[i].tensors) file.tensors.push_back(named);
  }
  return {std::move(net), std::move(file)};
}

}  // namespace gsnet::io
