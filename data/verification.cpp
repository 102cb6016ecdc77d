#include "data/verification.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "core/error.h"
#include "data/aligned.h"
#include "data/files.h"
#include "data/pairs.h"

namespace gsnet::data {
namespace {

namespace fs = std::filesystem;

DatasetHandle make_set(FoundPictures found, const PictureIndex& index, const std::vector<size_t>& sources,
                       const PictureSpec& spec, int64_t& landmarks_unused) {
  PictureCatalogue catalogue{{}, {"picture"}};
  for (const size_t source : sources) catalogue.entries.push_back({source, 0});
  if (!spec.landmarks.empty()) {
    auto landmarks = landmarks_for(index, spec.landmarks, landmarks_unused);
    return make_aligned_set(std::move(found.encoded), std::move(catalogue), std::move(landmarks), spec.side);
  }
  return make_picture_set(std::move(found.encoded), std::move(catalogue), spec.side);
}

PairList chosen_folds(const PairList& list, const std::vector<int>& folds, const fs::path& file) {
  try {
    return of_folds(list, folds);
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", file.string(), error.what()));
  }
}

/// "B" of "A/B/c.jpg", "" of "c.jpg".
std::string folder_of(const std::string& path) { return fs::path(path).parent_path().filename().string(); }

}  // namespace

std::shared_ptr<const Dataset> open_pictures(const fs::path& path, const PictureSpec& spec, int64_t* landmarks_unused) {
  FoundPictures found = find_pictures(path);
  GSNET_CHECK(!found.paths.empty(), fmt::format("{}: there is no picture (PNG, JPEG, BMP, PPM)", path.string()));
  std::vector<size_t> sources(found.paths.size());
  for (size_t i = 0; i < sources.size(); ++i) sources[i] = i;
  const PictureIndex index(found.paths, path.string());
  int64_t unused = 0;
  DatasetHandle set = make_set(std::move(found), index, sources, spec, unused);
  if (landmarks_unused != nullptr) *landmarks_unused = unused;
  return set;
}

VerificationSet open_verification(const fs::path& pairs, const fs::path& images, const PictureSpec& spec) {
  PairList list = read_pairs(pairs);
  if (!spec.folds.empty()) list = chosen_folds(list, spec.folds, pairs);
  FoundPictures found = find_pictures(images);
  const PictureIndex index(found.paths, images.string());
  VerificationSet set;
  set.folds = list.folds;
  std::set<std::string> missing;
  std::map<size_t, int64_t> used;  // source to picture of the set
  std::vector<std::pair<size_t, size_t>> ends;
  for (const NamedPair& pair : list.pairs) {
    const std::optional<size_t> first = index.find(pair.first), second = index.find(pair.second);
    if (!first) missing.insert(pair.first);
    if (!second) missing.insert(pair.second);
    if (!first || !second) {
      ++set.pairs_left_out;
      continue;
    }
    used[*first] = used[*second] = 0;
    ends.emplace_back(*first, *second);
    set.pairs.push_back({0, 0, pair.same, pair.fold});
  }
  set.missing.assign(missing.begin(), missing.end());
  GSNET_CHECK(!set.pairs.empty(),
              fmt::format("{}: none of the {} pairs has both pictures in {}, which has {}; the first missing is '{}'",
                          pairs.string(), list.pairs.size(), images.string(), found.paths.size(), set.missing[0]));
  std::vector<size_t> sources;
  for (auto& [source, picture] : used) {
    picture = std::ssize(sources);
    sources.push_back(source);
    set.folders.push_back(folder_of(index.paths()[source]));
  }
  for (size_t i = 0; i < ends.size(); ++i) {
    set.pairs[i].first = used[ends[i].first];
    set.pairs[i].second = used[ends[i].second];
  }
  set.pictures = make_set(std::move(found), index, sources, spec, set.landmarks_unused);
  return set;
}

}  // namespace gsnet::data
