#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "certify/report.h"
#include "core/error.h"

namespace gsnet {
namespace {

double share(int64_t part, int64_t whole) {
  if (whole == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(part) / static_cast<double>(whole);
}

void check_sample(const CertifiedSample& sample, size_t classes) {
  const auto named = [classes](int label) { return label >= 0 && static_cast<size_t>(label) < classes; };
  GSNET_CHECK(named(sample.label) && named(sample.predicted),
              fmt::format("[report] sample {} has label {} and prediction {}, there are {} class names", sample.index,
                          sample.label, sample.predicted, classes));
  GSNET_CHECK(std::isfinite(sample.radius_l2) && sample.radius_l2 >= 0,
              fmt::format("[report] sample {} has a certified radius of {}, expected a finite number from 0",
                          sample.index, sample.radius_l2));
}

void check_radii(const std::vector<double>& radii) {
  for (const double radius : radii) {
    GSNET_CHECK(std::isfinite(radius) && radius >= 0, fmt::format("[report] accuracy cannot be tabled at {}", radius));
  }
  GSNET_CHECK(std::ranges::adjacent_find(radii, std::greater_equal<double>()) == radii.end(),
              "[report] the tabled radii must ascend");
}

/// Counts of one pass over the samples.
struct Counts {
  explicit Counts(const CertificationReport& report)
      : at_radius(report.radii.size()),
        root2_at_radius(report.radii.size()),
        executed_at_radius(report.radii.size()),
        in_class(report.class_names.size()),
        class_correct(report.class_names.size()),
        class_certified(report.class_names.size()) {}

  void add(const CertifiedSample& sample, const std::vector<double>& radii) {
    const auto label = static_cast<size_t>(sample.label);
    ++in_class[label];
    if (!(sample.radius_l2 > 0)) ++ties;
    if (!is_correct(sample)) return;
    ++correct;
    ++class_correct[label];
    radius_sum += sample.radius_l2;
    executed_sum += sample.executed_radius_l2;
    for (size_t i = 0; i < radii.size(); ++i) {
      at_radius[i] += sample.radius_l2 > radii[i];
      root2_at_radius[i] += sample.root2_radius_l2 > radii[i];
      executed_at_radius[i] += sample.executed_radius_l2 > radii[i];
    }
    class_certified[label] += radii.empty() || sample.radius_l2 > radii.front();
  }

  int64_t correct = 0, ties = 0;
  double radius_sum = 0, executed_sum = 0;
  std::vector<int64_t> at_radius, root2_at_radius, executed_at_radius, in_class, class_correct, class_certified;
};

}  // namespace

bool is_correct(const CertifiedSample& sample) { return sample.predicted == sample.label && sample.radius_l2 > 0; }

double refutable_l2(const CertificationReport& report, const CertifiedSample& sample) {
  return report.executed ? sample.executed_radius_l2 : sample.radius_l2;
}

CertificationSummary summarise(const CertificationReport& report) {
  check_radii(report.radii);
  Counts counts(report);
  for (const CertifiedSample& sample : report.samples) {
    check_sample(sample, report.class_names.size());
    counts.add(sample, report.radii);
  }
  CertificationSummary summary;
  summary.n = static_cast<int64_t>(report.samples.size());
  summary.correct = counts.correct;
  summary.clean_accuracy = share(counts.correct, summary.n);
  summary.ties = counts.ties;
  summary.mean_certified_radius = counts.radius_sum / static_cast<double>(summary.n);
  for (size_t i = 0; i < report.radii.size(); ++i) {
    summary.certified.emplace_back(report.radii[i], share(counts.at_radius[i], summary.n));
    summary.certified_root2.push_back(share(counts.root2_at_radius[i], summary.n));
    if (report.executed) summary.certified_executed.push_back(share(counts.executed_at_radius[i], summary.n));
  }
  if (report.executed) summary.mean_executed_radius = counts.executed_sum / static_cast<double>(summary.n);
  for (size_t c = 0; c < report.class_names.size(); ++c) {
    summary.class_accuracy.push_back(share(counts.class_correct[c], counts.in_class[c]));
    summary.class_certified.push_back(share(counts.class_certified[c], counts.in_class[c]));
  }
  summary.class_n = std::move(counts.in_class);
  return summary;
}

}  // namespace gsnet
