// Lists of pairs of pictures that show the same person, or two.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace gsnet::data {

struct NamedPair {
  std::string first, second;  ///< as PictureIndex finds them
  bool same = false;
  int fold = 0;
};

struct PairList {
  std::vector<NamedPair> pairs;
  int folds = 10;
};

/// Reads a list of pairs:
///   pairs.txt of LFW: "F n", then F folds of n lines "Name i j" (pictures Name/Name_000i and Name/Name_000j) and n
///   lines "Name1 i Name2 j"; or "n" alone, without folds;
///   else one pair a line, "path path 0|1", with commas, tabs or blanks between; a first line of titles is passed over.
/// Where the list has no folds, as many same and different pairs in their order go into each of ten. Throws Error with
/// file and line.
PairList read_pairs(const std::filesystem::path& path);

/// The folds of pairs without any: the i-th tenth of the same and of the different ones, in order, is fold i; fewer
/// folds where there are fewer pairs. Returns their number, >= 1.
int assign_folds(std::vector<bool> same, std::vector<int>& folds);

/// "7-10" or "1,3,5-6": folds counted from 1, as numbers from 0, ascending. Throws Error for anything else, or a fold
/// named twice.
std::vector<int> parse_folds(std::string_view text);

/// What each of `folds` folds is called when only some are kept: their position among those, else -1. Throws Error
/// naming one that is not there.
std::vector<int> fold_numbers(int folds, const std::vector<int>& kept);

/// The pairs of these folds only, which are numbered anew. Throws Error naming one that is not there.
PairList of_folds(const PairList& list, const std::vector<int>& folds);

}  // namespace gsnet::data
