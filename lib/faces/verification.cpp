#include "faces/verification.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"

namespace gsnet {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<ScoredPair> descending(std::span<const ScoredPair> pairs) {
  for (const ScoredPair& pair : pairs) {
    GSNET_CHECK(std::isfinite(pair.score), fmt::format("[verification] a pair has the score {}", pair.score));
  }
  std::vector<ScoredPair> sorted(pairs.begin(), pairs.end());
  std::ranges::stable_sort(sorted, std::greater<>(), &ScoredPair::score);
  return sorted;
}

/// A threshold and how many of the pairs that chose it are right.
struct Choice {
  double threshold = 0;
  int64_t right = 0;
};

/// Over pairs by descending score, but for those of one fold: thresholds lie between neighbouring distinct scores, and
/// beyond the ends.
Choice choose(const std::vector<ScoredPair>& sorted, int left_out) {
  std::vector<const ScoredPair*> pairs;
  for (const ScoredPair& pair : sorted) {
    if (pair.fold != left_out) pairs.push_back(&pair);
  }
  GSNET_CHECK(!pairs.empty(), "[verification] there are no pairs to choose a threshold by");
  int64_t right = std::ranges::count(pairs, false, [](const ScoredPair* p) { return p->same; });
  std::vector<Choice> best = {{pairs.front()->score + 1, right}};
  for (size_t i = 0; i < pairs.size();) {
    const double score = pairs[i]->score;
    for (; i < pairs.size() && pairs[i]->score == score; ++i) right += pairs[i]->same ? 1 : -1;
    if (right < best.front().right) continue;
    if (right > best.front().right) best.clear();
    best.push_back({i < pairs.size() ? std::midpoint(score, pairs[i]->score) : score - 1, right});
  }
  return best[(best.size() - 1) / 2];
}

}  // namespace

FoldAccuracy fold_accuracy(std::span<const ScoredPair> pairs, int folds) {
  GSNET_CHECK(folds >= 2, fmt::format("[verification] accuracy over folds needs at least two, got {}", folds));
  const std::vector<ScoredPair> sorted = descending(pairs);
  FoldAccuracy result;
  for (int fold = 0; fold < folds; ++fold) {
    const int64_t count = std::ranges::count(pairs, fold, &ScoredPair::fold);
    if (count == 0) continue;
    const Choice choice = choose(sorted, fold);
    const int64_t right = std::ranges::count_if(pairs, [&](const ScoredPair& pair) {
      return pair.fold == fold && (pair.score >= choice.threshold) == pair.same;
    });
    result.accuracies.push_back(static_cast<double>(right) / static_cast<double>(count));
    result.thresholds.push_back(choice.threshold);
  }
  const auto judged = static_cast<double>(result.accuracies.size());
  GSNET_CHECK(judged >= 2, fmt::format("[verification] {} of {} folds have pairs, two are needed", judged, folds));
  for (const double accuracy : result.accuracies) result.mean += accuracy;
  result.mean /= judged;
  double variance = 0;
  for (const double accuracy : result.accuracies)
    variance += (accuracy - result.mean) * (accuracy - result.mean) / judged;
  result.stddev = std::sqrt(variance);
  return result;
}

BestThreshold best_threshold(std::span<const ScoredPair> pairs) {
  const Choice choice = choose(descending(pairs), std::numeric_limits<int>::min());
  return {choice.threshold, static_cast<double>(choice.right) / static_cast<double>(pairs.size())};
}

std::vector<RocPoint> roc_curve(std::span<const ScoredPair> pairs) {
  const int64_t genuine = std::ranges::count(pairs, true, &ScoredPair::same), impostors = std::ssize(pairs) - genuine;
  GSNET_CHECK(genuine > 0 && impostors > 0,
              fmt::format("[verification] {} pairs of the same and {} of different people: both kinds are needed",
                          genuine, impostors));
  const std::vector<ScoredPair> sorted = descending(pairs);
  std::vector<RocPoint> curve = {{kInfinity, 0, 0}};
  int64_t accepted = 0, recognised = 0;
  for (size_t i = 0; i < sorted.size();) {
    const double score = sorted[i].score;
    for (; i < sorted.size() && sorted[i].score == score; ++i) ++(sorted[i].same ? recognised : accepted);
    curve.push_back({score, static_cast<double>(accepted) / static_cast<double>(impostors),
                     static_cast<double>(recognised) / static_cast<double>(genuine)});
  }
  return curve;
}

int64_t impostors_allowed(int64_t impostors, double far) {
  return static_cast<int64_t>(std::floor(far * static_cast<double>(impostors) * (1 + 1e-12)));
}

TarAtFar tar_at_far(std::span<const RocPoint> curve, int64_t genuine, int64_t impostors, double far) {
  GSNET_CHECK(!curve.empty() && genuine > 0 && impostors > 0 && far >= 0 && far <= 1,
              fmt::format("[verification] a rate of {} over {} and {} pairs cannot be", far, genuine, impostors));
  TarAtFar result{.far = far, .impostors = impostors};
  result.allowed = impostors_allowed(impostors, far);
  result.enough = result.allowed >= 1;
  const double most = (static_cast<double>(result.allowed) + 0.5) / static_cast<double>(impostors);
  const auto past = std::ranges::partition_point(curve, [&](const RocPoint& point) { return point.far < most; });
  const RocPoint& at = past[-1];  // the first point has far = 0
  result.threshold = at.threshold;
  result.tar = at.tar;
  const auto hits = static_cast<int64_t>(std::llround(at.tar * static_cast<double>(genuine)));
  const Interval interval = wilson_interval(hits, genuine);
  result.low = interval.low;
  result.high = interval.high;
  return result;
}

double equal_error_rate(std::span<const RocPoint> curve) {
  GSNET_CHECK(!curve.empty(), "[verification] the curve is empty");
  const auto past = std::ranges::partition_point(curve, [](const RocPoint& p) { return p.far < 1 - p.tar; });
  if (past == curve.end()) return curve.back().far;
  if (past == curve.begin() || past->far == 1 - past->tar) return past->far;
  const RocPoint &before = past[-1], &after = *past;
  const double gap_before = 1 - before.tar - before.far, gap_after = after.far + after.tar - 1;
  return before.far + (after.far - before.far) * gap_before / (gap_before + gap_after);
}

double area_under(std::span<const RocPoint> curve) {
  double area = 0;
  for (size_t i = 1; i < curve.size(); ++i) {
    area += (curve[i].far - curve[i - 1].far) * (curve[i].tar + curve[i - 1].tar) / 2;
  }
  return area;
}

Interval wilson_interval(int64_t hits, int64_t count) {
  if (count <= 0) return {};
  constexpr double kZ = 1.959963984540054;
  const auto n = static_cast<double>(count);
  const double share = static_cast<double>(hits) / n, z2 = kZ * kZ / n;
  const double centre = (share + z2 / 2) / (1 + z2);
  const double half = kZ * std::sqrt(share * (1 - share) / n + z2 / (4 * n)) / (1 + z2);
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

}  // namespace gsnet
