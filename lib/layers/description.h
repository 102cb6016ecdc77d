// A network as data: what the recipe says, what the model file holds, what importers make. No machine, no numbers.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/shape.h"

namespace gsnet {

using AttributeValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
                                    std::vector<std::string>>;

/// Named settings of a layer, in the order they were set.
class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<std::string, AttributeValue>> entries);

  void set(std::string key, AttributeValue value);
  const AttributeValue* find(std::string_view key) const;
  const std::vector<std::pair<std::string, AttributeValue>>& entries() const { return entries_; }

  /// The value; an integer also reads as a number. Throws Error naming the key when it is missing or of another kind.
  bool flag(std::string_view key) const;
  int64_t integer(std::string_view key) const;
  double number(std::string_view key) const;
  const std::string& text(std::string_view key) const;
  std::vector<int64_t> integers(std::string_view key) const;
  /// The same with a value for a missing key.
  bool flag(std::string_view key, bool missing) const;
  int64_t integer(std::string_view key, int64_t missing) const;
  double number(std::string_view key, double missing) const;
  std::string text(std::string_view key, std::string_view missing) const;
  /// The position of the text among the choices. Throws Error listing them.
  size_t choice(std::string_view key, std::initializer_list<std::string_view> choices) const;

  /// Throws Error naming the first key that is not among these: nothing is ignored.
  void allow_only(std::initializer_list<std::string_view> keys) const;

  bool operator==(const Attributes&) const = default;

 private:
  std::vector<std::pair<std::string, AttributeValue>> entries_;
};

/// One layer: its path name ("level1.conv0"), its type in the registry, where its inputs come from, its settings.
struct NodeDescription {
  std::string name;
  std::string type;
  std::vector<std::string> inputs;  ///< names of earlier nodes or "input"; empty: the node before
  Attributes attributes;

  bool operator==(const NodeDescription&) const = default;
};

/// Nodes in an order in which each comes after its inputs; the last one's output is the network's.
struct Description {
  Shape input;  ///< (C, H, W)
  std::vector<NodeDescription> nodes;

  bool operator==(const Description&) const = default;
};

}  // namespace gsnet
