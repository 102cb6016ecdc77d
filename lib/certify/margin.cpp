#include "certify/margin.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/error.h"
#include "layers/bounds.h"

namespace gsnet {

MarginGeometry::MarginGeometry(const Graph& graph) : classes_(graph.output().numel()), network_(UpperBound::proven(0)) {
  GSNET_CHECK(graph.output().rank() == 1 && classes_ >= 2,
              fmt::format("[certify] needs a classifier with at least two logits, the network gives {}",
                          to_string(graph.output())));
  const std::vector<Graph::NodeBound> bounds = graph.bounds();
  network_ = bounds.back().from_input;
  const UpperBound root2 = UpperBound::proven(outward(std::numbers::sqrt2));
  const Graph::Node& last = graph.nodes().back();
  const auto pairs = static_cast<size_t>(classes_ * classes_);
  pairs_.assign(pairs, network_ * root2);
  last_pairs_.assign(pairs, bounds.back().layer.value * root2);
  const std::optional<Tensor> matrix = last.module->matrix();
  if (!matrix) return;
  const UpperBound before =
      last.inputs[0] < 0 ? UpperBound::proven(1) : bounds[static_cast<size_t>(last.inputs[0])].from_input;
  for (int64_t i = 0; i < classes_; ++i) {
    for (int64_t j = 0; j < classes_; ++j) {
      const auto at = static_cast<size_t>(i * classes_ + j);
      const UpperBound distance = row_distance(*matrix, i, j);
      pairs_[at] = pairs_[at].min(before * distance);
      last_pairs_[at] = last_pairs_[at].min(distance);
    }
  }
}

UpperBound MarginGeometry::pair(int64_t i, int64_t j) const { return pairs_[static_cast<size_t>(i * classes_ + j)]; }

UpperBound MarginGeometry::last_pair(int64_t i, int64_t j) const {
  return last_pairs_[static_cast<size_t>(i * classes_ + j)];
}

UpperBound input_scale(std::span<const double> stddev) {
  GSNET_CHECK(!stddev.empty(), "[certify] the model has no input normalisation");
  const double least = *std::ranges::min_element(stddev);
  GSNET_CHECK(std::isfinite(least) && least > 0, fmt::format("[certify] a standard deviation of {} cannot be", least));
  return UpperBound::proven(least == 1 ? 1 : outward(1 / least));
}

namespace {

/// down(a / b) for b > 0, not below 0. The difference of two f32 logits is exact in double or off by one unit; the
/// quotient is taken down once more.
double quotient_down(double a, double b) { return std::max(std::nextafter(std::nextafter(a, 0.0) / b, 0.0), 0.0); }

/// The executed radius with respect to one rival.
double executed_radius(double margin, UpperBound slope, UpperBound last_pair, const LogitError& error) {
  const double apart = last_pair.value(), root2 = outward(std::numbers::sqrt2);
  const double lost = apart * (error.features.here + error.features.ball) + root2 * (error.last.here + error.last.ball);
  const double growth = apart * error.features.slope + root2 * error.last.slope;
  constexpr double kOutward = 1 + 1e-12;
  if (!std::isfinite(lost) || !std::isfinite(growth)) return 0;
  return quotient_down(margin - lost * kOutward, (slope.value() + growth) * kOutward);
}

}  // namespace

Certificate certify(std::span<const double> logits, const MarginGeometry& geometry, UpperBound scale,
                    const LogitError* error) {
  GSNET_CHECK(static_cast<int64_t>(logits.size()) == geometry.classes(),
              fmt::format("[certify] expected {} logits, got {}", geometry.classes(), logits.size()));
  const auto top = std::ranges::max_element(logits, std::less<double>());
  Certificate certificate{static_cast<int>(top - logits.begin())};
  if (!std::ranges::all_of(logits, [](double z) { return std::isfinite(z); })) return certificate;
  double radius = std::numeric_limits<double>::infinity(), root2 = radius, executed = radius;
  const UpperBound any_pair = geometry.network() * UpperBound::proven(outward(std::numbers::sqrt2)) * scale;
  for (size_t j = 0; j < logits.size(); ++j) {
    if (static_cast<int>(j) == certificate.predicted) continue;
    const double margin = *top - logits[j];
    const auto rival = static_cast<int64_t>(j);
    const UpperBound slope = geometry.pair(certificate.predicted, rival) * scale;
    radius = std::min(radius, quotient_down(margin, slope.value()));
    root2 = std::min(root2, quotient_down(margin, any_pair.value()));
    if (error == nullptr) continue;
    const UpperBound last_pair = geometry.last_pair(certificate.predicted, rival);
    executed = std::min(executed, executed_radius(margin, slope, last_pair, *error));
  }
  certificate.radius_l2 = radius;
  certificate.root2_radius_l2 = std::min(root2, radius);
  if (error != nullptr) certificate.executed_radius_l2 = std::min({executed, radius, kMostRadius});
  return certificate;
}

}  // namespace gsnet
