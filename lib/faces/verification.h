// Are two pictures of one person? What scores of pairs say about that: accuracy over folds, rates of errors, curves.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gsnet {

/// Higher scores mean more alike: cosines of embeddings, or minus the squared distances of unit ones, 2 cos - 2. Any
/// increasing function of the scores gives the same accuracies and rates.
struct ScoredPair {
  double score = 0;
  bool same = false;
  int fold = 0;
};

/// Accuracy as the protocol of LFW has it (Huang et al., 2007): for each fold, the threshold that is best on the
/// others. Where several are equally good on them, the middle one is taken. A pair is called the same where its score
/// is at least the threshold.
struct FoldAccuracy {
  std::vector<double> accuracies;  ///< a fold that has pairs
  std::vector<double> thresholds;
  double mean = 0;
  double stddev = 0;  ///< over folds, of the population, as published tables have it
};
/// Folds without pairs are passed over. Throws Error unless two have some, or for scores that are not finite.
FoldAccuracy fold_accuracy(std::span<const ScoredPair> pairs, int folds);

/// A threshold that calls most of the pairs right, the middle one of equally good ones, and what it reaches:
/// optimistic, the pairs chose it.
struct BestThreshold {
  double threshold = 0;
  double accuracy = 0;
};
BestThreshold best_threshold(std::span<const ScoredPair> pairs);

/// Share of pairs of different (far) and of the same people (tar) that are called the same at a threshold.
struct RocPoint {
  double threshold = 0;
  double far = 0;
  double tar = 0;
};
/// From (0, 0), threshold infinity, to (1, 1): a point a distinct score, descending. Throws Error unless there are
/// pairs of both kinds and scores are finite.
std::vector<RocPoint> roc_curve(std::span<const ScoredPair> pairs);

/// How many pairs of two people may be taken for one at a rate: far times their number, rounded down. With none the
/// rate cannot be told.
int64_t impostors_allowed(int64_t impostors, double far);

/// The share of pairs of the same people recognised where at most `far` of the others are taken for the same.
struct TarAtFar {
  double far = 0;
  int64_t impostors = 0;  ///< pairs of different people
  int64_t allowed = 0;    ///< of them taken for the same: floor(far impostors)
  bool enough = false;    ///< at least one is allowed; else the rate cannot be told from 0 and `tar` is for none
  double threshold = 0;   ///< lowest score that is called the same; infinity where that is none
  double tar = 0;
  double low = 0, high = 0;  ///< Wilson's interval of 95 % for tar, the threshold taken as given
};
TarAtFar tar_at_far(std::span<const RocPoint> curve, int64_t genuine, int64_t impostors, double far);

/// The rate at which as many pairs of different people are taken for the same as the other way round; between two
/// points of the curve on the straight line.
double equal_error_rate(std::span<const RocPoint> curve);

/// The area under the curve: the chance that a pair of the same people scores above one of others, ties counting half.
double area_under(std::span<const RocPoint> curve);

/// Wilson's score interval for a share of `hits` in `count`, z = 1.96.
struct Interval {
  double low = 0, high = 1;
};
Interval wilson_interval(int64_t hits, int64_t count);

}  // namespace gsnet
