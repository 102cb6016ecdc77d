// What a face verification test is made of: pictures, each once, and pairs of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace gsnet::data {

struct PicturePair {
  int64_t first = 0, second = 0;  ///< pictures of the set
  bool same = false;
  int fold = 0;
};

struct VerificationSet {
  std::shared_ptr<const Dataset> pictures;  ///< of one class that means nothing
  std::vector<std::string> folders;  ///< the folder that each picture lies in, by its own name: the person, as a rule;
                                     ///< "" where it lies in none. Empty for a pack
  std::vector<PicturePair> pairs;
  int folds = 1;
  int64_t pairs_left_out = 0;        ///< they name pictures that are not there
  std::vector<std::string> missing;  ///< names of those pictures, each once
  int64_t landmarks_unused = 0;      ///< lines of the landmarks that name no picture that is there
};

struct PictureSpec {
  int side = 0;  ///< of the pictures; the largest square in the middle is scaled to it, or the face is put there
  /// Landmarks to align the pictures by (data/align.h); a picture without any cannot be read then. Empty: the pictures
  /// are aligned already.
  std::filesystem::path landmarks = {};
  /// Of pairs: those of these folds only, numbered anew (data/pairs.h reads "7-10"). Empty: all.
  std::vector<int> folds = {};
};

/// All pictures of a folder or a tar archive as a set; names are paths in it. `landmarks_unused` as above.
std::shared_ptr<const Dataset> open_pictures(const std::filesystem::path& path, const PictureSpec& spec,
                                             int64_t* landmarks_unused = nullptr);

/// The pairs of a list (data/pairs.h) and their pictures in a folder or a tar archive. Pairs that name pictures that
/// are not there are left out and counted. Throws Error when none is left, a list is wrong or has no such fold.
VerificationSet open_verification(const std::filesystem::path& pairs, const std::filesystem::path& images,
                                  const PictureSpec& spec);

/// A verification pack of insightface (lfw.bin, agedb_30.bin, …): a pickle of 2 P encoded pictures and P flags, read as
/// data, nothing in it is run. Pictures may be bytes (of Python 2 or 3) or numpy arrays of bytes. Throws Error with
/// file and place.
VerificationSet open_verification_pack(const std::filesystem::path& pack, int side, const std::vector<int>& folds = {});

}  // namespace gsnet::data
