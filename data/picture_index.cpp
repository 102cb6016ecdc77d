#include "data/picture_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/text.h"

namespace gsnet::data {
namespace {

constexpr size_t kSeveral = SIZE_MAX;
constexpr int kMostParts = 4;  // of an end that is looked for

std::string_view without_ending(std::string_view path) {
  const size_t dot = path.rfind('.'), slash = path.rfind('/');
  return dot == std::string_view::npos || (slash != std::string_view::npos && dot < slash) ? path : path.substr(0, dot);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

}  // namespace

PictureIndex::PictureIndex(std::vector<std::string> paths, std::string root)
    : root_(std::move(root)), paths_(std::move(paths)) {
  while (root_.ends_with('/')) root_.pop_back();
  for (size_t i = 0; i < paths_.size(); ++i) {
    std::string_view path = paths_[i];
    if (path.starts_with("./")) path.remove_prefix(2);
    exact_.emplace(path, i);
    add(without_ending(path), i);
    size_t slash = path.rfind('/');
    for (int part = 0; part < kMostParts && slash != std::string_view::npos; ++part) {
      const std::string_view end = path.substr(slash + 1);
      add(end, i);
      if (without_ending(end) != end) add(without_ending(end), i);
      slash = slash == 0 ? std::string_view::npos : path.rfind('/', slash - 1);
    }
  }
}

void PictureIndex::add(std::string_view key, size_t picture) {
  const auto [at, fresh] = ends_.emplace(key, picture);
  if (!fresh && at->second != picture) at->second = kSeveral;
}

std::optional<size_t> PictureIndex::find(std::string_view name) const {
  const std::optional<size_t> found = find_path(name);
  const bool printed = !root_.empty() && name.starts_with(root_) && name.size() > root_.size() &&
                       (name[root_.size()] == '/' || name[root_.size()] == ':');
  return found || !printed ? found : find_path(name.substr(root_.size() + 1));
}

std::optional<size_t> PictureIndex::find_path(std::string_view name) const {
  if (name.starts_with("./")) name.remove_prefix(2);
  const auto whole = exact_.find(name);
  if (whole != exact_.end()) return whole->second;
  const auto found = ends_.find(name);
  if (found == ends_.end()) return std::nullopt;
  GSNET_CHECK(found->second != kSeveral,
              fmt::format("'{}' could be several pictures; give more of the path", shown(name)));
  return found->second;
}

std::vector<std::string> split_fields(std::string_view line) {
  const bool tabs = line.find('\t') != std::string_view::npos;
  const bool blanks = !tabs && line.find(',') == std::string_view::npos;
  const char separator = tabs ? '\t' : blanks ? ' ' : ',';
  std::vector<std::string> fields;
  for (size_t begin = 0; begin <= line.size();) {
    const size_t end = std::min(line.find(separator, begin), line.size());
    const std::string_view field = trimmed(line.substr(begin, end - begin));
    if (!field.empty() || !blanks) fields.emplace_back(field);
    begin = end + 1;
  }
  return fields;
}

}  // namespace gsnet::data
