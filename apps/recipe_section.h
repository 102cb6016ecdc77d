// One table of a recipe's TOML. Included by .cpp files only: the TOML library stays out of other headers.
#pragma once

#include <fmt/format.h>
#include <toml++/toml.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "apps/options.h"
#include "core/error.h"
#include "layers/description.h"

namespace gsnet::apps {

/// One table of the file; every key is taken out as it is read, so that what is left is unknown.
class Section {
 public:
  Section(toml::table& root, std::string file, std::string name) : file_(std::move(file)), name_(std::move(name)) {
    toml::node* node = name_.empty() ? &root : root.get(name_);
    if (node == nullptr) return;
    table_ = node->as_table();
    GSNET_CHECK(table_ != nullptr, fmt::format("{}: '{}' must be a table", place(*node), name_));
  }

  template <class T>
  void read(const char* key, T& value, double least, double most) {
    if (toml::node* node = find(key)) {
      const auto number = node->value<double>();
      const bool whole = std::is_integral_v<T>;
      GSNET_CHECK(number && (!whole || node->is_integer()) && *number >= least && *number <= most,
                  fmt::format("{}: '{}' must be {} from {} to {}", place(*node), full(key),
                              whole ? "an integer" : "a number", least, most));
      value = static_cast<T>(*number);
      taken(key);
    }
  }

  void read(const char* key, bool& value) {
    if (toml::node* node = find(key)) {
      GSNET_CHECK(node->is_boolean(), fmt::format("{}: '{}' must be true or false", place(*node), full(key)));
      value = node->as_boolean()->get();
      taken(key);
    }
  }

  void read(const char* key, std::string& value) {
    if (toml::node* node = find(key)) {
      GSNET_CHECK(node->is_string(), fmt::format("{}: '{}' must be a text", place(*node), full(key)));
      value = node->as_string()->get();
      taken(key);
    }
  }

  /// A text, or an integer as its digits: folds 7, "7-10".
  void read_word(const char* key, std::string& value) {
    toml::node* node = find(key);
    if (node == nullptr || !node->is_integer()) return read(key, value);
    value = std::to_string(node->as_integer()->get());
    taken(key);
  }

  /// A number, or a fraction as a text: "36/255".
  void read_fraction(const char* key, double& value) {
    toml::node* node = find(key);
    if (node == nullptr) return;
    try {
      value = node->is_string() ? parse_number(node->as_string()->get()) : node->value<double>().value_or(NAN);
    } catch (const Error& error) {
      throw Error(fmt::format("{}: '{}': {}", place(*node), full(key), error.what()));
    }
    GSNET_CHECK(
        std::isfinite(value) && value >= 0,
        fmt::format("{}: '{}' must be a number of at least 0 or a fraction like \"36/255\"", place(*node), full(key)));
    taken(key);
  }

  void read(const char* key, std::vector<double>& values) {
    toml::node* node = find(key);
    if (node == nullptr) return;
    const toml::array* list = node->as_array();
    GSNET_CHECK(list != nullptr, fmt::format("{}: '{}' must be a list of numbers", place(*node), full(key)));
    values.clear();
    for (const toml::node& item : *list) {
      const auto number = item.value<double>();
      GSNET_CHECK(number && std::isfinite(*number),
                  fmt::format("{}: '{}' must be a list of numbers", place(item), full(key)));
      values.push_back(*number);
    }
    taken(key);
  }

  void read(const char* key, std::vector<std::string>& values) {
    toml::node* node = find(key);
    if (node == nullptr) return;
    values.clear();
    if (node->is_string()) {
      values.push_back(node->as_string()->get());
      return taken(key);
    }
    const toml::array* list = node->as_array();
    GSNET_CHECK(list != nullptr, fmt::format("{}: '{}' must be a list of texts", place(*node), full(key)));
    for (const toml::node& item : *list) {
      GSNET_CHECK(item.is_string(), fmt::format("{}: '{}' must be a list of texts", place(item), full(key)));
      values.push_back(item.as_string()->get());
    }
    taken(key);
  }

  /// Tables below this one, each a name's settings.
  void read(const char* key, std::vector<std::pair<std::string, Attributes>>& tables) {
    toml::node* node = find(key);
    if (node == nullptr) return;
    toml::table* all = node->as_table();
    GSNET_CHECK(all != nullptr, fmt::format("{}: '{}' must be a table of tables", place(*node), full(key)));
    for (auto& [name, inner] : *all) {
      GSNET_CHECK(inner.is_table(), fmt::format("{}: '{}' must be a table of tables", place(inner), full(key)));
      Attributes settings;
      Section one(*all, file_, std::string(name.str()));
      one.read_rest(settings);
      tables.emplace_back(name.str(), std::move(settings));
    }
    taken(key);
  }

  bool exists() const { return table_ != nullptr; }

  template <class E>
  void read(const char* key, E& value, std::initializer_list<std::pair<const char*, E>> choices) {
    std::string text;
    toml::node* node = find(key);
    if (node == nullptr) return;
    const std::string where = place(*node);
    read(key, text);
    std::string known;
    for (const auto& [word, meaning] : choices) {
      if (text == word) {
        value = meaning;
        return;
      }
      known += fmt::format("{}{}", known.empty() ? "" : ", ", word);
    }
    throw Error(fmt::format("{}: '{}' must be one of {}, got '{}'", where, full(key), known, text));
  }

  /// All that is left, as a layer's or an architecture's settings.
  void read_rest(Attributes& attributes) {
    if (table_ == nullptr) return;
    for (auto& [key, node] : *table_) {
      const std::string name(key.str());
      if (node.is_boolean()) {
        attributes.set(name, node.as_boolean()->get());
      } else if (node.is_integer()) {
        attributes.set(name, node.as_integer()->get());
      } else if (node.is_floating_point()) {
        attributes.set(name, node.as_floating_point()->get());
      } else {
        GSNET_CHECK(node.is_string(),
                    fmt::format("{}: '{}' must be a flag, a number or a text", place(node), full(name)));
        attributes.set(name, node.as_string()->get());
      }
    }
    table_->clear();
  }

  /// Keys that another setting leaves no meaning: `because` says which.
  void refuse(std::initializer_list<const char*> keys, const std::string& because) {
    for (const char* key : keys) {
      const toml::node* node = find(key);
      if (node != nullptr) throw Error(fmt::format("{}: '{}' has no meaning {}", place(*node), full(key), because));
    }
  }

  void finish() const {
    if (table_ == nullptr || table_->empty()) return;
    const std::string key(table_->begin()->first.str());
    throw Error(fmt::format("{}: unknown key '{}'", place(*table_->get(key)), full(key)));
  }

 private:
  toml::node* find(const char* key) { return table_ != nullptr ? table_->get(key) : nullptr; }
  void taken(const char* key) { table_->erase(key); }
  std::string full(const std::string& key) const { return name_.empty() ? key : name_ + "." + key; }
  std::string place(const toml::node& node) const {
    return node.source().begin.line > 0 ? fmt::format("{}:{}", file_, node.source().begin.line) : file_;
  }

  toml::table* table_ = nullptr;
  std::string file_, name_;
};

}  // namespace gsnet::apps
