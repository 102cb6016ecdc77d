#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "data/dataset.h"
#include "data/files.h"
#include "data/wrapped.h"

namespace gsnet::data {
namespace {

class Subset final : public Dataset {
 public:
  Subset(std::shared_ptr<const Dataset> whole, std::vector<int64_t> indices)
      : whole_(std::move(whole)), indices_(std::move(indices)) {}

  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  PictureShape picture() const override { return whole_->picture(); }
  const std::vector<std::string>& class_names() const override { return whole_->class_names(); }
  int label(int64_t i) const override { return whole_->label(in_whole(i)); }
  void read(int64_t i, std::span<uint8_t> pixels) const override { whole_->read(in_whole(i), pixels); }
  std::string name(int64_t i) const override { return whole_->name(in_whole(i)); }

 private:
  int64_t in_whole(int64_t i) const {
    check_index("subset", i, size());
    return indices_[static_cast<size_t>(i)];
  }

  std::shared_ptr<const Dataset> whole_;
  std::vector<int64_t> indices_;
};

class Singles final : public Wrapped {
 public:
  explicit Singles(std::shared_ptr<const Dataset> whole) : Wrapped(std::move(whole)) {
    for (int64_t i = 0; i < size(); ++i) names_.push_back(name(i));
  }

  const std::vector<std::string>& class_names() const override { return names_; }
  int label(int64_t i) const override {
    check_index("pictures", i, size());
    return static_cast<int>(i);
  }

 private:
  std::vector<std::string> names_;
};

/// Shares of `count` in proportion to `sizes`: rounded down, then the largest remainders get one more, first ones
/// first.
std::vector<int64_t> shares(const std::vector<std::vector<int64_t>>& groups, int64_t count, int64_t total) {
  std::vector<int64_t> share(groups.size()), order(groups.size()), remainder(groups.size());
  int64_t given = 0;
  for (size_t c = 0; c < groups.size(); ++c) {
    const int64_t product = count * static_cast<int64_t>(groups[c].size());
    share[c] = product / total;
    remainder[c] = product % total;
    order[c] = static_cast<int64_t>(c);
    given += share[c];
  }
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return remainder[static_cast<size_t>(a)] > remainder[static_cast<size_t>(b)];
  });
  for (size_t i = 0; given < count; ++i, ++given) ++share[static_cast<size_t>(order[i])];
  return share;
}

std::vector<std::vector<int64_t>> by_class(const Dataset& whole) {
  std::vector<std::vector<int64_t>> groups(whole.class_names().size());
  for (int64_t i = 0; i < whole.size(); ++i) groups.at(static_cast<size_t>(whole.label(i))).push_back(i);
  return groups;
}

}  // namespace

std::shared_ptr<const Dataset> subset(std::shared_ptr<const Dataset> whole, std::vector<int64_t> indices) {
  GSNET_CHECK(whole != nullptr, "subset: no data set was given");
  for (const int64_t i : indices) check_index("subset", i, whole->size());
  return std::make_shared<Subset>(std::move(whole), std::move(indices));
}

std::shared_ptr<const Dataset> each_its_class(std::shared_ptr<const Dataset> whole) {
  GSNET_CHECK(whole != nullptr && whole->size() > 0 && whole->size() <= INT32_MAX,
              "pictures as classes: the set is empty, or too large");
  return std::make_shared<Singles>(std::move(whole));
}

Holdout hold_out(std::shared_ptr<const Dataset> whole, int64_t count, uint64_t seed) {
  GSNET_CHECK(whole != nullptr, "hold out: no data set was given");
  const int64_t size = whole->size();
  GSNET_CHECK(count >= 0 && count <= size && size <= INT32_MAX,
              fmt::format("hold out: {} of {} pictures were asked for", count, size));
  auto groups = by_class(*whole);
  const auto share = size > 0 ? shares(groups, count, size) : std::vector<int64_t>(groups.size());
  std::vector<int64_t> held, rest;
  for (size_t c = 0; c < groups.size(); ++c) {
    Random(RandomKey(seed).with(c)).shuffle(groups[c]);
    held.insert(held.end(), groups[c].begin(), groups[c].begin() + share[c]);
    rest.insert(rest.end(), groups[c].begin() + share[c], groups[c].end());
  }
  std::sort(held.begin(), held.end());
  std::sort(rest.begin(), rest.end());
  return {subset(whole, std::move(held)), subset(whole, std::move(rest))};
}

}  // namespace gsnet::data
