#include "apps/training_data.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/data_source.h"
#include "core/error.h"
#include "data/classes.h"
#include "data/loader.h"
#include "data/tolerant.h"

namespace gsnet::apps {

std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kNamed = 5;
  std::string text;
  for (size_t i = 0; i < std::min(kNamed, names.size()); ++i) text += (i == 0 ? "" : ", ") + names[i];
  return names.size() > kNamed ? fmt::format("{} and {} more", text, names.size() - kNamed) : text;
}

std::shared_ptr<const data::Dataset> chosen_classes(std::shared_ptr<const data::Dataset> whole, const Recipe& recipe,
                                                    std::vector<std::string>& notes) {
  if (!recipe.classes.empty()) {
    const size_t before = whole->class_names().size();
    whole = data::of_classes(whole, data::listed_classes(recipe.classes, whole->class_names()));
    notes.push_back(
        fmt::format("{} of {} classes are named in {}", whole->class_names().size(), before, recipe.classes));
  }
  if (recipe.least_pictures <= 1) return whole;
  std::vector<bool> kept;
  for (const int64_t size : data::class_sizes(*whole)) kept.push_back(size >= recipe.least_pictures);
  const auto few = std::ranges::count(kept, false);
  GSNET_CHECK(few < std::ssize(kept), fmt::format("{}: data.least_pictures: none of the {} classes has {} pictures",
                                                  recipe.file, kept.size(), recipe.least_pictures));
  if (few == 0) return whole;
  const int64_t before = whole->size();
  whole = data::of_classes(whole, kept);
  notes.push_back(fmt::format("left out: {} classes of fewer than {} pictures, {} pictures", few, recipe.least_pictures,
                              before - whole->size()));
  return whole;
}

std::shared_ptr<const data::Dataset> readable_pictures(const std::shared_ptr<const data::Dataset>& whole, int threads,
                                                       std::vector<std::string>& unreadable) {
  const auto found = std::make_shared<data::UnreadablePictures>();
  const std::vector<double> ones(static_cast<size_t>(whole->picture().channels), 1);
  data::Loader loader(data::tolerant(whole, found), {.batch = 64, .normalisation = {ones, ones}, .threads = threads});
  while (loader.next()) {
  }
  const std::map<int64_t, std::string> reasons = found->all();
  if (reasons.empty()) return whole;
  std::vector<int64_t> kept;
  std::vector<bool> classes(whole->class_names().size(), false);
  for (int64_t i = 0; i < whole->size(); ++i) {
    if (const auto reason = reasons.find(i); reason != reasons.end()) {
      unreadable.push_back(reason->second);
      continue;
    }
    kept.push_back(i);
    classes[static_cast<size_t>(whole->label(i))] = true;
  }
  GSNET_CHECK(!kept.empty(), fmt::format("none of the {} training pictures can be read; the first: {}", whole->size(),
                                         reasons.begin()->second));
  return data::of_classes(data::subset(whole, std::move(kept)), classes);
}

Parts split_data(const Recipe& recipe) {
  Parts made;
  made.whole = open_named(recipe.data, data::Split::train, recipe.side, recipe.glyphs);
  auto whole = open_corrupted(chosen_classes(made.whole, recipe, made.notes), recipe.corruption, recipe.seed);
  if (recipe.limit > 0 && recipe.limit < whole->size()) {
    whole = data::hold_out(whole, recipe.limit, recipe.seed).held_out;
  }
  const int64_t count = recipe.validation > 0 ? recipe.validation : std::max<int64_t>(1, whole->size() / 10);
  GSNET_CHECK(count < whole->size(),
              fmt::format("data.validation asks for {} of {} training pictures", count, whole->size()));
  data::Holdout parts = data::hold_out(whole, count, recipe.seed);
  made.train = parts.rest;
  made.validation = parts.held_out;
  return made;
}

namespace {

/// Whether two sets begin, end and are filled with the same pictures, as far as three of them tell.
bool same_pictures(const data::Dataset& a, const data::Dataset& b) {
  if (a.size() != b.size() || a.picture() != b.picture() || a.class_names() != b.class_names()) return false;
  std::vector<uint8_t> one(static_cast<size_t>(a.picture().numel())), other(one.size());
  for (const int64_t i : {int64_t{0}, a.size() / 2, a.size() - 1}) {
    if (a.name(i) != b.name(i) || a.label(i) != b.label(i)) return false;
    a.read(i, one);
    b.read(i, other);
    if (one != other) return false;
  }
  return true;
}

}  // namespace

std::shared_ptr<const data::Dataset> test_part(const Recipe& recipe, Parts& parts) {
  constexpr const char* kUnjudged = "nothing judges the result but the validation pictures, which chose it";
  std::shared_ptr<const data::Dataset> test;
  try {
    test = open_named(recipe.data, data::Split::test, recipe.side, recipe.glyphs);
  } catch (const Error& error) {
    parts.notes.push_back(fmt::format("no test pictures ({}): {}", error.what(), kUnjudged));
    return nullptr;
  }
  if (same_pictures(*parts.whole, *test)) {
    parts.notes.push_back(fmt::format("{} names no test part: {}", recipe.data, kUnjudged));
    return nullptr;
  }
  const std::vector<std::string>& trained = parts.train->class_names();
  std::vector<bool> kept;
  for (const std::string& name : test->class_names()) {
    kept.push_back(std::ranges::find(trained, name) != trained.end());
  }
  GSNET_CHECK(std::ranges::count(kept, true) == std::ssize(trained),
              fmt::format("{}: the test part has {} of the {} classes that are trained", recipe.data,
                          std::ranges::count(kept, true), trained.size()));
  return data::of_classes(std::move(test), kept);
}

}  // namespace gsnet::apps
