#include "layers/description.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"

namespace gsnet {

Attributes::Attributes(std::initializer_list<std::pair<std::string, AttributeValue>> entries) : entries_(entries) {}

void Attributes::set(std::string key, AttributeValue value) {
  for (auto& [known, old] : entries_) {
    if (known == key) {
      old = std::move(value);
      return;
    }
  }
  entries_.emplace_back(std::move(key), std::move(value));
}

const AttributeValue* Attributes::find(std::string_view key) const {
  const auto found = std::ranges::find(entries_, key, &std::pair<std::string, AttributeValue>::first);
  return found == entries_.end() ? nullptr : &found->second;
}

namespace {

const AttributeValue& required(const Attributes& attributes, std::string_view key) {
  const AttributeValue* value = attributes.find(key);
  GSNET_CHECK(value != nullptr, fmt::format("setting '{}' is missing", key));
  return *value;
}

template <class T>
const T& typed(const Attributes& attributes, std::string_view key, const char* kind) {
  const T* value = std::get_if<T>(&required(attributes, key));
  GSNET_CHECK(value != nullptr, fmt::format("setting '{}' must be {}", key, kind));
  return *value;
}

}  // namespace

bool Attributes::flag(std::string_view key) const { return typed<bool>(*this, key, "true or false"); }

int64_t Attributes::integer(std::string_view key) const { return typed<int64_t>(*this, key, "an integer"); }

double Attributes::number(std::string_view key) const {
  const AttributeValue& value = required(*this, key);
  if (const auto* whole = std::get_if<int64_t>(&value)) return static_cast<double>(*whole);
  return typed<double>(*this, key, "a number");
}

const std::string& Attributes::text(std::string_view key) const { return typed<std::string>(*this, key, "a text"); }

std::vector<int64_t> Attributes::integers(std::string_view key) const {
  return typed<std::vector<int64_t>>(*this, key, "a list of integers");
}

bool Attributes::flag(std::string_view key, bool missing) const { return find(key) != nullptr ? flag(key) : missing; }

int64_t Attributes::integer(std::string_view key, int64_t missing) const {
  return find(key) != nullptr ? integer(key) : missing;
}

double Attributes::number(std::string_view key, double missing) const {
  return find(key) != nullptr ? number(key) : missing;
}

std::string Attributes::text(std::string_view key, std::string_view missing) const {
  return find(key) != nullptr ? text(key) : std::string(missing);
}

size_t Attributes::choice(std::string_view key, std::initializer_list<std::string_view> choices) const {
  const std::string& value = text(key);
  const auto found = std::ranges::find(choices, value);
  GSNET_CHECK(found != choices.end(),
              fmt::format("setting '{}' must be one of {}, got '{}'", key, fmt::join(choices, ", "), value));
  return static_cast<size_t>(found - choices.begin());
}

void Attributes::allow_only(std::initializer_list<std::string_view> keys) const {
  for (const auto& [key, value] : entries_) {
    GSNET_CHECK(std::ranges::find(keys, key) != keys.end(),
                fmt::format("unknown setting '{}'; known are {}", key, fmt::join(keys, ", ")));
  }
}

}  // namespace gsnet
