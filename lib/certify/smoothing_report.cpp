#include "certify/smoothing_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace gsnet {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

bool is_right(const SmoothedSample& sample) {
  return sample.outcome.predicted != kAbstained && sample.outcome.predicted == sample.label;
}

Json samples_json(const SmoothingReport& report) {
  Json rows = Json::array();
  for (const auto& [index, name, label, outcome] : report.samples) {
    const bool abstained = outcome.predicted == kAbstained;
    rows.push_back({{"index", index},
                    {"name", name},
                    {"label", label},
                    {"predicted", abstained ? Json(nullptr) : Json(outcome.predicted)},
                    {"radius", number(outcome.radius_l2)},
                    {"hits", outcome.hits},
                    {"samples", outcome.samples}});
  }
  return rows;
}

}  // namespace

SmoothingSummary summarise(const SmoothingReport& report) {
  GSNET_CHECK(std::ranges::is_sorted(report.radii, std::ranges::less_equal()),
              "[smoothing] the tabled radii do not ascend");
  SmoothingSummary summary;
  summary.n = static_cast<int64_t>(report.samples.size());
  for (const double radius : report.radii) summary.certified.emplace_back(radius, 0);
  for (const SmoothedSample& sample : report.samples) {
    const double radius = sample.outcome.radius_l2;
    GSNET_CHECK(std::isfinite(radius) && radius >= 0,
                fmt::format("[smoothing] picture {} has a radius of {}", sample.index, radius));
    summary.abstained += sample.outcome.predicted == kAbstained ? 1 : 0;
    summary.noisy_pictures += report.spec.selection + sample.outcome.samples;
    if (!is_right(sample)) continue;
    summary.clean_accuracy += 1;
    summary.mean_certified_radius += radius;
    for (auto& [eps, share] : summary.certified) share += radius > eps ? 1 : 0;
  }
  const auto n = static_cast<double>(summary.n);
  summary.clean_accuracy /= n;
  summary.mean_certified_radius /= n;
  for (auto& [eps, share] : summary.certified) share /= n;
  return summary;
}

std::string smoothing_json(const SmoothingReport& report, bool with_samples) {
  const SmoothingSummary summary = summarise(report);
  Json json = {{"n", summary.n},
               {"abstained", summary.abstained},
               {"clean_accuracy", number(summary.clean_accuracy)},
               {"radii", Json::array()},
               {"mean_certified_radius", number(summary.mean_certified_radius)},
               {"sigma", number(report.spec.sigma)},
               {"selection", report.spec.selection},
               {"estimation", report.spec.estimation},
               {"alpha", number(report.spec.alpha)},
               {"seed", report.spec.seed},
               {"noisy_pictures", summary.noisy_pictures},
               {"settings", Json::object()}};
  for (const auto& [eps, share] : summary.certified) {
    json["radii"].push_back({{"eps", number(eps)}, {"certified_accuracy", number(share)}});
  }
  for (const auto& [name, value] : report.settings) {
    GSNET_CHECK(!json["settings"].contains(name), fmt::format("[smoothing] the setting {} is named twice", name));
    json["settings"][name] = value;
  }
  if (with_samples) json["samples"] = samples_json(report);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace gsnet
