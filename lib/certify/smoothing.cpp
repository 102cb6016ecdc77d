#include "certify/smoothing.h"

#include <algorithm>
#include <cmath>

#include "certify/smoothing_bounds.h"
#include "certify/smoothing_sampler.h"

namespace gsnet {
namespace {

constexpr double kUnlikely = 1e-6;

/// What is known of one picture while samples come in.
struct Course {
  std::vector<int64_t> votes;  // of the selection samples, one a class
  SmoothedPrediction outcome;
  bool stopped = false;
};

void select(Course& course) {
  const auto most = std::ranges::max_element(course.votes);
  if (*most > 0) course.outcome.selected = static_cast<int>(most - course.votes.begin());
  course.stopped = course.outcome.selected == kAbstained;
}

/// Looks after 128, 256, 512, … samples, whatever the batches are.
bool is_hopeless(const SmoothedPrediction& outcome) {
  const int64_t n = outcome.samples;
  return n >= 128 && (n & (n - 1)) == 0 && proportion_upper_bound(outcome.hits, n, kUnlikely) < 0.5;
}

void estimate(Course& course, int found, const SmoothingSpec& spec) {
  if (course.stopped) return;
  ++course.outcome.samples;
  course.outcome.hits += found == course.outcome.selected ? 1 : 0;
  course.stopped = spec.stop_early && is_hopeless(course.outcome);
}

/// Only where all samples were drawn: the bound holds for a number fixed beforehand.
void conclude(SmoothedPrediction& outcome, const SmoothingSpec& spec, UpperBound error) {
  if (outcome.samples != spec.estimation || outcome.selected == kAbstained) return;
  const double found = proportion_lower_bound(outcome.hits, outcome.samples, spec.alpha);
  const double probability = std::nextafter(found - error.value(), 0.0);
  const double radius = std::nextafter(spec.sigma * normal_quantile_lower_bound(probability), 0.0);
  if (!(probability > 0.5 && radius > 0)) return;
  outcome.predicted = outcome.selected;
  outcome.radius_l2 = radius;
}

}  // namespace

std::vector<SmoothedPrediction> smooth(const Model& model, const PictureSource& pictures, const SmoothingSpec& spec,
                                       const std::function<void(int64_t, int64_t)>& progress) {
  NoiseSampler sampler(model, pictures, spec);
  std::vector<Course> courses(static_cast<size_t>(pictures.count));
  for (Course& course : courses) course.votes.assign(static_cast<size_t>(sampler.classes()), 0);
  const auto course = [&](int64_t i) -> Course& { return courses[static_cast<size_t>(i)]; };
  int64_t done = 0, skipped = 0;
  const auto report = [&] {
    if (progress) progress(done, pictures.count * (spec.selection + spec.estimation) - skipped);
  };
  const auto select_vote = [&](int64_t i, int found) {
    ++done;
    if (found >= 0) ++course(i).votes[static_cast<size_t>(found)];
  };
  sampler.run(
      0, spec.selection, [](int64_t) { return true; }, select_vote, report);
  for (Course& each : courses) select(each);
  const auto estimate_vote = [&](int64_t i, int found) {
    if (course(i).stopped) return;
    ++done;
    estimate(course(i), found, spec);
    if (course(i).stopped) skipped += spec.estimation - course(i).outcome.samples;
  };
  sampler.run(
      spec.selection, spec.estimation, [&](int64_t i) { return !course(i).stopped; }, estimate_vote, report);
  std::vector<SmoothedPrediction> outcomes;
  for (Course& each : courses) {
    if (!each.stopped) conclude(each.outcome, spec, sampler.error());
    outcomes.push_back(each.outcome);
  }
  return outcomes;
}

}  // namespace gsnet
