#include "data/classes.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "core/text.h"
#include "data/files.h"

namespace gsnet::data {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 28;

class OfClasses final : public Dataset {
 public:
  OfClasses(std::shared_ptr<const Dataset> whole, std::vector<int64_t> pictures, const std::vector<bool>& kept)
      : whole_(std::move(whole)), pictures_(std::move(pictures)), labels_(kept.size(), -1) {
    for (size_t label = 0; label < kept.size(); ++label) {
      if (!kept[label]) continue;
      labels_[label] = static_cast<int>(names_.size());
      names_.push_back(whole_->class_names()[label]);
    }
  }

  int64_t size() const override { return std::ssize(pictures_); }
  PictureShape picture() const override { return whole_->picture(); }
  const std::vector<std::string>& class_names() const override { return names_; }
  int label(int64_t i) const override { return labels_[static_cast<size_t>(whole_->label(in_whole(i)))]; }
  void read(int64_t i, std::span<uint8_t> pixels) const override { whole_->read(in_whole(i), pixels); }
  std::string name(int64_t i) const override { return whole_->name(in_whole(i)); }

 private:
  int64_t in_whole(int64_t i) const {
    check_index("classes", i, size());
    return pictures_[static_cast<size_t>(i)];
  }

  std::shared_ptr<const Dataset> whole_;
  std::vector<int64_t> pictures_;
  std::vector<int> labels_;  // new ones by old ones, -1 where left out
  std::vector<std::string> names_;
};

std::string trimmed(const std::string& line) {
  const size_t first = line.find_first_not_of(" \t\r"), last = line.find_last_not_of(" \t\r");
  return first == std::string::npos ? "" : line.substr(first, last - first + 1);
}

}  // namespace

std::vector<int64_t> class_sizes(const Dataset& set) {
  std::vector<int64_t> sizes(set.class_names().size());
  for (int64_t i = 0; i < set.size(); ++i) ++sizes.at(static_cast<size_t>(set.label(i)));
  return sizes;
}

std::shared_ptr<const Dataset> of_classes(std::shared_ptr<const Dataset> whole, const std::vector<bool>& kept) {
  GSNET_CHECK(whole != nullptr, "classes: no data set was given");
  GSNET_CHECK(kept.size() == whole->class_names().size(),
              fmt::format("classes: {} flags for {} classes", kept.size(), whole->class_names().size()));
  if (std::ranges::find(kept, false) == kept.end()) return whole;
  std::vector<int64_t> pictures;
  for (int64_t i = 0; i < whole->size(); ++i) {
    if (kept[static_cast<size_t>(whole->label(i))]) pictures.push_back(i);
  }
  GSNET_CHECK(!pictures.empty(), fmt::format("classes: none of the {} pictures is left", whole->size()));
  return std::make_shared<OfClasses>(std::move(whole), std::move(pictures), kept);
}

std::vector<bool> listed_classes(const std::filesystem::path& list, const std::vector<std::string>& class_names) {
  std::map<std::string, size_t> labels;
  for (size_t label = 0; label < class_names.size(); ++label) labels.emplace(class_names[label], label);
  std::vector<bool> kept(class_names.size(), false);
  int64_t named = 0;
  for (const auto& [number, line] : numbered_lines(list, kMostBytes)) {
    const std::string name = trimmed(line);
    if (name.empty()) continue;
    const auto found = labels.find(name);
    GSNET_CHECK(found != labels.end(),
                fmt::format("{}: line {}: '{}' is none of the {} classes, the first of which is "
                            "'{}'",
                            list.string(), number, shown(name), class_names.size(), shown(class_names.front())));
    GSNET_CHECK(!kept[found->second],
                fmt::format("{}: line {}: '{}' is named twice", list.string(), number, shown(name)));
    kept[found->second] = true;
    ++named;
  }
  GSNET_CHECK(named > 0, fmt::format("{}: it names no class", list.string()));
  return kept;
}

std::vector<bool> drawn_classes(const Dataset& set, int64_t limit, uint64_t seed) {
  const std::vector<int64_t> sizes = class_sizes(set);
  std::vector<int64_t> order(sizes.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  Random(RandomKey(seed)).shuffle(order);
  std::vector<bool> kept(sizes.size(), false);
  int64_t pictures = 0;
  for (const int64_t number : order) {
    const auto label = static_cast<size_t>(number);
    if (sizes[label] == 0) continue;
    if (pictures > 0 && pictures + sizes[label] > limit) break;
    pictures += sizes[label];
    kept[label] = true;
  }
  return kept;
}

}  // namespace gsnet::data
