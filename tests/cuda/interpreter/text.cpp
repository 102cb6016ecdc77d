#include "cuda/interpreter/text.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>

namespace gsnet::ptx {

bool is_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%' || c == '.';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  int depth = 0;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '{' || text[i] == '[' || text[i] == '(') ++depth;
    if (text[i] == '}' || text[i] == ']' || text[i] == ')') --depth;
    if (text[i] == ',' && depth == 0) {
      parts.push_back(trimmed(text.substr(start, i - start)));
      start = i + 1;
    }
  }
  if (!trimmed(text.substr(start)).empty()) parts.push_back(trimmed(text.substr(start)));
  return parts;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  size_t i = 0;
  while (i < text.size()) {
    while (i < text.size() && std::isspace(static_cast<unsigned char>(text[i])) != 0) ++i;
    const size_t start = i;
    while (i < text.size() && std::isspace(static_cast<unsigned char>(text[i])) == 0) ++i;
    if (i > start) words.push_back(text.substr(start, i - start));
  }
  return words;
}

std::optional<uint64_t> number_of(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text.front())) == 0) return {};
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && std::strchr("xXfFdD", text[1]) != nullptr) {
    base = 16;
    text.remove_prefix(2);
  }
  if (text.ends_with('U')) text.remove_suffix(1);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return negative ? ~value + 1 : value;
}

int bytes_of(std::string_view type) {
  if (type == ".pred") return 0;
  if (type.ends_with("64")) return 8;
  if (type.ends_with("32")) return 4;
  if (type.ends_with("16")) return 2;
  return 1;
}

Variable variable_of(std::string_view text) {
  Variable made;
  int each = 1;
  const auto words = words_of(text);
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == ".align") {
      made.alignment = static_cast<int>(number_of(words[++i]).value_or(1));
    } else if (words[i].front() == '.') {
      each = bytes_of(words[i]);
    } else {
      const size_t bracket = words[i].find('[');
      made.name = words[i].substr(0, bracket);
      const auto count = bracket == std::string_view::npos
                             ? std::optional<uint64_t>(1)
                             : number_of(words[i].substr(bracket + 1, words[i].find(']') - bracket - 1));
      made.bytes = each * static_cast<int>(count.value_or(0));
    }
  }
  made.alignment = std::max(made.alignment, each);
  return made;
}

int place(int& total, const Variable& variable) {
  total = (total + variable.alignment - 1) / variable.alignment * variable.alignment;
  const int at = total;
  total += variable.bytes;
  return at;
}

}  // namespace gsnet::ptx
