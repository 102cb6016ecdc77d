// Accuracy over folds, rates and curves, on cases that can be done by hand.
#include "faces/verification.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "core/error.h"
#include "core/random.h"

namespace gsnet {
namespace {

/// Scores of pairs of the same and of different people, all of one fold or dealt out to several.
std::vector<ScoredPair> pairs_of(const std::vector<double>& same, const std::vector<double>& different, int folds = 1) {
  std::vector<ScoredPair> pairs;
  for (size_t i = 0; i < same.size(); ++i) pairs.push_back({same[i], true, static_cast<int>(i) % folds});
  for (size_t i = 0; i < different.size(); ++i) pairs.push_back({different[i], false, static_cast<int>(i) % folds});
  return pairs;
}

std::vector<ScoredPair> noisy_pairs(int folds, int a_side, double apart) {
  Random random(RandomKey(7));
  std::vector<ScoredPair> pairs;
  for (int fold = 0; fold < folds; ++fold) {
    for (int i = 0; i < 2 * a_side; ++i) {
      const bool same = i < a_side;
      pairs.push_back({0.2 * random.normal() + (same ? apart : 0), same, fold});
    }
  }
  return pairs;
}

}  // namespace

TEST_CASE("Accuracy over folds chooses each fold's threshold on the others", "[faces]") {
  // Fold 1 is right for thresholds within (0.2, 0.4), fold 2 within (0.6, 0.8): each is judged by the other's.
  const std::vector<ScoredPair> pairs = {{0.4, true, 0}, {0.2, false, 0}, {0.8, true, 1}, {0.6, false, 1}};
  const FoldAccuracy result = fold_accuracy(pairs, 2);
  REQUIRE(result.thresholds.size() == 2);
  CHECK(result.thresholds[0] == Approx(0.7));
  CHECK(result.thresholds[1] == Approx(0.3));
  CHECK(result.accuracies == std::vector<double>{0.5, 0.5});
  CHECK(result.mean == 0.5);
  CHECK(result.stddev == 0);
}

TEST_CASE("Accuracy over folds is mean and deviation of the folds", "[faces]") {
  auto pairs = pairs_of({0.9, 0.9, 0.9, 0.9}, {0.1, 0.1, 0.1, 0.1}, 4);
  pairs[0].score = 0;  // the pair of the same person in fold 0 looks like none
  const FoldAccuracy result = fold_accuracy(pairs, 4);
  CHECK(result.mean == Approx(0.875));
  CHECK(result.stddev == Approx(std::sqrt(3.0) / 8));
}

TEST_CASE("Squared distances of unit embeddings give what cosines give", "[faces]") {
  const std::vector<ScoredPair> cosines = noisy_pairs(10, 50, 0.5);
  std::vector<ScoredPair> distances = cosines;
  for (ScoredPair& pair : distances) pair.score = -(2 - 2 * pair.score);
  const FoldAccuracy by_cosine = fold_accuracy(cosines, 10), by_distance = fold_accuracy(distances, 10);
  CHECK(by_cosine.accuracies == by_distance.accuracies);
  CHECK(by_distance.thresholds[3] == Approx(2 * by_cosine.thresholds[3] - 2));
  const auto curve = roc_curve(cosines), other = roc_curve(distances);
  CHECK(equal_error_rate(curve) == equal_error_rate(other));
  CHECK(tar_at_far(curve, 500, 500, 0.01).tar == tar_at_far(other, 500, 500, 0.01).tar);
}

TEST_CASE("The search over thresholds is that of a fine grid", "[faces]") {
  const std::vector<ScoredPair> pairs = noisy_pairs(10, 60, 0.6);
  const FoldAccuracy exact = fold_accuracy(pairs, 10);
  for (int fold = 0; fold < 10; ++fold) {
    double best = 0;
    for (double threshold = -1; threshold <= 2; threshold += 1e-3) {
      double right = 0, count = 0;
      for (const ScoredPair& pair : pairs) {
        if (pair.fold == fold) continue;
        right += (pair.score >= threshold) == pair.same ? 1 : 0;
        count += 1;
      }
      best = std::max(best, right / count);
    }
    double right = 0, count = 0;
    for (const ScoredPair& pair : pairs) {
      if (pair.fold == fold) continue;
      right += (pair.score >= exact.thresholds[static_cast<size_t>(fold)]) == pair.same ? 1 : 0;
      count += 1;
    }
    CHECK(right / count >= best);
  }
}

TEST_CASE("The curve, its area and the equal error rate", "[faces]") {
  const auto pairs = pairs_of({0.9, 0.8, 0.7, 0.3}, {0.75, 0.4, 0.2, 0.1});
  const auto curve = roc_curve(pairs);
  REQUIRE(curve.size() == 9);
  CHECK(std::isinf(curve.front().threshold));
  CHECK(curve.back().far == 1);
  CHECK(curve.back().tar == 1);
  CHECK(curve[2].tar == 0.5);
  CHECK(curve[3].far == 0.25);
  CHECK(equal_error_rate(curve) == 0.25);         // at 0.7: one of four each way
  CHECK(area_under(curve) == Approx(13.0 / 16));  // 0.9, 0.8: 4 each; 0.7: 3; 0.3: 2
}

TEST_CASE("Ties are one point of the curve and count half in the area", "[faces]") {
  const auto curve = roc_curve(pairs_of({0.5, 0.5}, {0.5, 0.5}));
  CHECK(curve.size() == 2);
  CHECK(area_under(curve) == 0.5);
  CHECK(equal_error_rate(curve) == 0.5);
  const auto perfect = roc_curve(pairs_of({0.9, 0.8}, {0.2, 0.1}));
  CHECK(area_under(perfect) == 1);
  CHECK(equal_error_rate(perfect) == 0);
}

TEST_CASE("TAR at FAR counts impostors and says when there are too few", "[faces]") {
  std::vector<double> different;
  for (int i = 0; i < 100; ++i) different.push_back(0.001 * i);
  different[0] = 0.65;
  const auto pairs = pairs_of({0.9, 0.7, 0.6, 0.05}, different);
  const auto curve = roc_curve(pairs);
  const TarAtFar none = tar_at_far(curve, 4, 100, 1e-3);
  CHECK_FALSE(none.enough);
  CHECK(none.allowed == 0);
  CHECK(none.tar == 0.5);
  const TarAtFar one = tar_at_far(curve, 4, 100, 1e-2);
  CHECK(one.enough);
  CHECK(one.allowed == 1);
  CHECK(one.tar == 0.75);
  CHECK(one.threshold == 0.6);
  CHECK(one.low < 0.75);
  CHECK(one.high > 0.75);
  CHECK(tar_at_far(curve, 4, 100, 1).tar == 1);
}

TEST_CASE("Wilson's interval", "[faces]") {
  const Interval half =
      wilson_interval(50, 100);  // Wilson 1927; by hand: (0.5 + z^2/200 -+ z sqrt(...)) / (1 + z^2/100)
  CHECK(half.low == Approx(0.4038).margin(1e-4));
  CHECK(half.high == Approx(0.5962).margin(1e-4));
  CHECK(wilson_interval(10, 10).high == Approx(1));
  CHECK(wilson_interval(0, 0).high == 1);
}

TEST_CASE("Verification refuses what it cannot judge", "[faces]") {
  const std::vector<ScoredPair> one_kind = {{0.5, true, 0}, {0.4, true, 1}};
  CHECK_THROWS_AS(roc_curve(one_kind), Error);
  CHECK_THROWS_AS(fold_accuracy(one_kind, 1), Error);
  CHECK(fold_accuracy(one_kind, 3).accuracies.size() == 2);  // the third has no pairs
  CHECK_THROWS_AS(fold_accuracy(std::span(one_kind).first(1), 3), Error);
  const std::vector<ScoredPair> broken = {{NAN, true, 0}, {0.4, false, 1}};
  CHECK_THROWS_AS(roc_curve(broken), Error);
  CHECK_THROWS_AS(fold_accuracy(broken, 2), Error);
}

}  // namespace gsnet
