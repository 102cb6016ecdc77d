#include "data/verification.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "core/error.h"
#include "data/align.h"
#include "data/files.h"
#include "data/pairs.h"
#include "data/picture_set.h"

namespace gsnet::data {
namespace {

namespace fs = std::filesystem;

/// Pictures brought to one place by their landmarks as they are read.
class AlignedPictures final : public Dataset {
 public:
  AlignedPictures(FoundPictures found, std::vector<size_t> sources, std::vector<std::optional<Landmarks>> landmarks,
                  int side)
      : found_(std::move(found)), sources_(std::move(sources)), landmarks_(std::move(landmarks)), side_(side) {}

  int64_t size() const override { return std::ssize(sources_); }
  PictureShape picture() const override { return {3, side_, side_}; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int label(int64_t i) const override { return check_index("pictures", i, size()), 0; }
  std::string name(int64_t i) const override {
    check_index("pictures", i, size());
    return found_.encoded->name(sources_[static_cast<size_t>(i)]);
  }

  void read(int64_t i, std::span<uint8_t> pixels) const override {
    check_read("pictures", i, size(), picture(), pixels);
    const size_t source = sources_[static_cast<size_t>(i)];
    const std::optional<Landmarks>& landmarks = landmarks_[source];
    GSNET_CHECK(landmarks.has_value(), fmt::format("{}: the list has no landmarks for it", name(i)));
    std::vector<uint8_t> scratch;
    const Picture whole = decode_picture(found_.encoded->bytes(source, scratch), name(i), 0);
    std::ranges::copy(align_face(whole, *landmarks, side_, name(i)).pixels, pixels.begin());
  }

 private:
  FoundPictures found_;
  std::vector<size_t> sources_;
  std::vector<std::optional<Landmarks>> landmarks_;  // by source
  int side_;
  std::vector<std::string> class_names_ = {"picture"};
};

std::vector<std::optional<Landmarks>> landmarks_for(const PictureIndex& index, const fs::path& file, int64_t& unknown) {
  auto landmarks = read_landmarks(file, index, unknown);
  GSNET_CHECK(std::ranges::any_of(landmarks, [](const auto& points) { return points.has_value(); }),
              fmt::format("{}: it has landmarks of none of the {} pictures; {} names are no picture's", file.string(),
                          index.paths().size(), unknown));
  return landmarks;
}

DatasetHandle make_set(FoundPictures found, const PictureIndex& index, std::vector<size_t> sources,
                       const PictureSpec& spec, int64_t& landmarks_unused) {
  if (!spec.landmarks.empty()) {
    GSNET_CHECK(spec.side > 0, "aligned pictures need a side");
    auto landmarks = landmarks_for(index, spec.landmarks, landmarks_unused);
    return std::make_shared<AlignedPictures>(std::move(found), std::move(sources), std::move(landmarks), spec.side);
  }
  PictureCatalogue catalogue{{}, {"picture"}};
  for (const size_t source : sources) catalogue.entries.push_back({source, 0});
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
  DatasetHandle set = make_set(std::move(found), index, std::move(sources), spec, unused);
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
  set.pictures = make_set(std::move(found), index, std::move(sources), spec, set.landmarks_unused);
  return set;
}

}  // namespace gsnet::data
