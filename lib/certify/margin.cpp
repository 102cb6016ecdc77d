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
  pairs_.assign(static_cast<size_t>(classes_ * classes_), network_ * root2);
  const Graph::Node& last = graph.nodes().back();
  const std::optional<Tensor> matrix = last.module->matrix();
  if (!matrix) return;
  const UpperBound before =
      last.inputs[0] < 0 ? UpperBound::proven(1) : bounds[static_cast<size_t>(last.inputs[0])].from_input;
  for (int64_t i = 0; i < classes_; ++i) {
    for (int64_t j = 0; j < classes_; ++j) {
      UpperBound& pair = pairs_[static_cast<size_t>(i * classes_ + j)];
      pair = pair.min(before * row_distance(*matrix, i, j));
    }
  }
}

UpperBound MarginGeometry::pair(int64_t i, int64_t j) const { return pairs_[static_cast<size_t>(i * classes_ + j)]; }

UpperBound input_scale(std::span<const double> stddev) {
  GSNET_CHECK(!stddev.empty(), "[certify] the model has no input normalisation");
  const double least = *std::ranges::min_element(stddev);
  GSNET_CHECK(std::isfinite(least) && least > 0, fmt::format("[certify] a standard deviation of {} cannot be", least));
  return UpperBound::proven(least == 1 ? 1 : outward(1 / least));
}

Certificate certify(std::span<const double> logits, const MarginGeometry& geometry, UpperBound scale) {
  GSNET_CHECK(static_cast<int64_t>(logits.size()) == geometry.classes(),
              fmt::format("[certify] expected {} logits, got {}", geometry.classes(), logits.size()));
  const auto top = std::ranges::max_element(logits, std::less<double>());
  Certificate certificate{static_cast<int>(top - logits.begin()), 0};
  if (!std::ranges::all_of(logits, [](double z) { return std::isfinite(z); })) return certificate;
  double radius = std::numeric_limits<double>::infinity();
  for (size_t j = 0; j < logits.size(); ++j) {
    if (static_cast<int>(j) == certificate.predicted) continue;
    const double margin = *top - logits[j];
    const UpperBound slope = geometry.pair(certificate.predicted, static_cast<int64_t>(j)) * scale;
    // The difference of two f32 logits is exact in double or off by one unit; the quotient is taken down once more.
    const double down = std::nextafter(std::nextafter(margin, 0.0) / slope.value(), 0.0);
    radius = std::min(radius, std::max(down, 0.0));
  }
  certificate.radius_l2 = radius;
  return certificate;
}

}  // namespace gsnet
