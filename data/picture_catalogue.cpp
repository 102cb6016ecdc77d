#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>

#include "core/error.h"
#include "data/files.h"
#include "data/picture_set.h"

namespace gsnet::data {
namespace {

constexpr std::array<std::string_view, 6> kEndings = {".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm"};
constexpr std::array<std::string_view, 9> kOtherEndings = {".gif",  ".tif",  ".tiff", ".webp", ".avif",
                                                           ".heic", ".heif", ".jp2",  ".jxl"};
constexpr std::array<std::string_view, 5> kPartNames = {"train", "test", "val", "valid", "validation"};

using Parts = std::vector<std::string_view>;

Parts split_path(std::string_view path) {
  Parts parts;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    if (end > 0 && path.substr(0, end) != ".") parts.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

bool is_part_name(std::string_view name) {
  return std::find(kPartNames.begin(), kPartNames.end(), name) != kPartNames.end();
}

struct Candidate {
  size_t source = 0;
  Parts parts;
};

/// Passes over a folder above all classes, as "lfw/" in lfw/Name/1.jpg.
void drop_shared_folder(std::vector<Candidate>& all) {
  const auto shares_first = [&](const Candidate& c) {
    return c.parts.size() >= 3 && c.parts.front() == all.front().parts.front();
  };
  while (!all.empty() && !all.front().parts.empty() && !is_part_name(all.front().parts.front()) &&
         std::all_of(all.begin(), all.end(), shares_first)) {
    for (Candidate& c : all) c.parts.erase(c.parts.begin());
  }
}

/// The part of the set that a split means: train, or the first of test, val, valid, validation that is there.
std::string_view part_for(Split split, const std::set<std::string_view>& there) {
  if (split == Split::train) return kPartNames[0];
  for (size_t i = 1; i < kPartNames.size(); ++i) {
    if (there.contains(kPartNames[i])) return kPartNames[i];
  }
  return kPartNames[1];
}

std::vector<Candidate> with_class_folder(const std::vector<std::string>& paths) {
  std::vector<Candidate> all;
  for (size_t i = 0; i < paths.size(); ++i) {
    Candidate candidate{i, split_path(paths[i])};
    if (candidate.parts.size() >= 2) all.push_back(std::move(candidate));
  }
  return all;
}

PictureCatalogue number_classes(const std::vector<Candidate>& all, size_t class_level, std::string_view part) {
  std::map<std::string_view, int> labels;
  for (const Candidate& c : all) labels.emplace(c.parts[class_level], 0);
  PictureCatalogue catalogue;
  for (auto& [name, label] : labels) {
    label = static_cast<int>(catalogue.class_names.size());
    catalogue.class_names.emplace_back(name);
  }
  for (const Candidate& c : all) {
    if (class_level == 0 || c.parts[0] == part) catalogue.entries.push_back({c.source, labels[c.parts[class_level]]});
  }
  return catalogue;
}

}  // namespace

bool is_picture_name(const std::string& path, PictureNames names) {
  const Parts parts = split_path(path);
  const auto hidden = [](std::string_view part) { return part.starts_with('.') && part != ".."; };
  if (parts.empty() || std::any_of(parts.begin(), parts.end(), hidden)) return false;
  const std::string name = lower_case(parts.back());
  const auto ends = [&](std::string_view end) { return name.ends_with(end); };
  return std::ranges::any_of(kEndings, ends) ||
         (names == PictureNames::known && std::ranges::any_of(kOtherEndings, ends));
}

PictureCatalogue arrange_pictures(const std::vector<std::string>& paths, Split split, const std::string& what) {
  std::vector<Candidate> all = with_class_folder(paths);
  drop_shared_folder(all);
  std::set<std::string_view> there;
  for (const Candidate& c : all) {
    if (is_part_name(c.parts[0]) && c.parts.size() >= 3) there.insert(c.parts[0]);
  }
  const std::string_view part = part_for(split, there);
  if (!there.empty()) {
    std::erase_if(all, [](const Candidate& c) { return !is_part_name(c.parts[0]) || c.parts.size() < 3; });
  }
  PictureCatalogue catalogue = number_classes(all, there.empty() ? 0 : 1, part);
  GSNET_CHECK(!catalogue.entries.empty(),
              there.empty()
                  ? fmt::format("{}: no class folder with pictures; {} pictures elsewhere", what, paths.size())
                  : fmt::format("{}: no class folder with pictures below {}/, only below {}/", what, part,
                                fmt::join(there, "/, ")));
  std::sort(catalogue.entries.begin(), catalogue.entries.end(), [&](const PictureEntry& a, const PictureEntry& b) {
    return a.label != b.label ? a.label < b.label : paths[a.source] < paths[b.source];
  });
  return catalogue;
}

}  // namespace gsnet::data
