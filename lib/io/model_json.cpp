// A network's description as JSON text.
#include <fmt/format.h>

#include <cmath>
#include <type_traits>

#include "core/error.h"
#include "io/json_text.h"
#include "io/model_file.h"
#include "io/safetensors_header.h"

namespace gsnet::io {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kWhat = "the description";

Json written(const AttributeValue& value, const std::string& where) {
  const auto check = [&](double number) {
    GSNET_CHECK(std::isfinite(number), fmt::format("{} is not a finite number", where));
  };
  if (const auto* number = std::get_if<double>(&value)) check(*number);
  if (const auto* numbers = std::get_if<std::vector<double>>(&value)) {
    for (double number : *numbers) check(number);
  }
  return std::visit([](const auto& held) { return Json(held); }, value);
}

int64_t integer(const Json& value, const std::string& where) {
  const bool fits =
      value.is_number_unsigned() ? std::in_range<int64_t>(value.get<uint64_t>()) : value.is_number_integer();
  GSNET_CHECK(fits, fmt::format("{} must be an integer of 64 bits", where));
  return value.get<int64_t>();
}

AttributeValue read_list(const Json& list, const std::string& where) {
  bool integers = true, numbers = true, texts = true;
  for (const Json& item : list) {
    integers = integers && item.is_number_integer();
    numbers = numbers && item.is_number();
    texts = texts && item.is_string();
  }
  if (integers) {
    std::vector<int64_t> values;
    for (const Json& item : list) values.push_back(integer(item, where));
    return values;
  }
  if (numbers) return list.get<std::vector<double>>();
  GSNET_CHECK(texts, fmt::format("{} must be a list of integers, of numbers or of texts", where));
  return list.get<std::vector<std::string>>();
}

AttributeValue read_value(const Json& value, const std::string& where) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer()) return integer(value, where);
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return value.get<std::string>();
  GSNET_CHECK(value.is_array(),
              fmt::format("{} must be true, false, a number, a text or a list, got {}", where, value.type_name()));
  return read_list(value, where);
}

const Json& member(const Json& object, const char* key, Json::value_t type, const std::string& where) {
  const auto found = object.find(key);
  GSNET_CHECK(found != object.end() && found->type() == type,
              fmt::format("{} needs '{}', {}", where, key, Json(type).type_name()));
  return *found;
}

NodeDescription read_node(const Json& json, size_t index) {
  std::string where = fmt::format("node {} of {}", index, kWhat);
  GSNET_CHECK(json.is_object(), fmt::format("{} must be an object", where));
  NodeDescription node;
  node.name = member(json, "name", Json::value_t::string, where).get<std::string>();
  where = fmt::format("node '{}' of {}", shown(node.name), kWhat);
  node.type = member(json, "type", Json::value_t::string, where).get<std::string>();
  for (const auto& [key, value] : json.items()) {
    if (key == "inputs") {
      GSNET_CHECK(value.is_array(), fmt::format("{}: 'inputs' must be a list of names", where));
      for (const Json& name : value) {
        GSNET_CHECK(name.is_string(), fmt::format("{}: 'inputs' must be a list of names", where));
        node.inputs.push_back(name.get<std::string>());
      }
    } else if (key == "attributes") {
      GSNET_CHECK(value.is_object(), fmt::format("{}: 'attributes' must be an object", where));
      for (const auto& [name, setting] : value.items()) {
        node.attributes.set(name, read_value(setting, fmt::format("{}: '{}'", where, shown(name))));
      }
    } else {
      GSNET_CHECK(key == "name" || key == "type", fmt::format("{}: unknown key '{}'", where, shown(key)));
    }
  }
  return node;
}

}  // namespace

std::string to_json(const Description& description) {
  const auto extents = description.input.extents();
  Json nodes = Json::array();
  for (const NodeDescription& node : description.nodes) {
    Json json = {{"name", node.name}, {"type", node.type}};
    if (!node.inputs.empty()) json["inputs"] = node.inputs;
    Json attributes = Json::object();
    for (const auto& [key, value] : node.attributes.entries()) {
      attributes[key] = written(value, fmt::format("node '{}' of {}: '{}'", shown(node.name), kWhat, shown(key)));
    }
    if (!attributes.empty()) json["attributes"] = std::move(attributes);
    nodes.push_back(std::move(json));
  }
  const Json json = {{"input", std::vector<int64_t>(extents.begin(), extents.end())}, {"nodes", std::move(nodes)}};
  return dump_json(json, kWhat);
}

Description description_from_json(const std::string& text) {
  const Json json = parse_json(text, kWhat);
  GSNET_CHECK(json.is_object(), fmt::format("{} must be an object", kWhat));
  for (const auto& [key, value] : json.items()) {
    GSNET_CHECK(key == "input" || key == "nodes", fmt::format("{}: unknown key '{}'", kWhat, shown(key)));
  }
  std::vector<int64_t> extents;
  for (const Json& extent : member(json, "input", Json::value_t::array, kWhat)) {
    extents.push_back(integer(extent, fmt::format("{}: 'input'", kWhat)));
    GSNET_CHECK(extents.size() <= Shape::kMaxRank,
                fmt::format("{}: 'input' has more than {} axes", kWhat, Shape::kMaxRank));
  }
  Description description;
  description.input = Shape(std::span<const int64_t>(extents));
  size_t index = 0;
  for (const Json& node : member(json, "nodes", Json::value_t::array, kWhat)) {
    description.nodes.push_back(read_node(node, index++));
  }
  return description;
}

}  // namespace gsnet::io
