#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "certify/report.h"
#include "core/error.h"

namespace gsnet {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json radii_json(const CertificationSummary& summary) {
  Json rows = Json::array();
  for (size_t i = 0; i < summary.certified.size(); ++i) {
    const auto& [radius, accuracy] = summary.certified[i];
    const bool executed = !summary.certified_executed.empty();
    rows.push_back({{"eps", number(radius)},
                    {"certified_accuracy", number(accuracy)},
                    {"certified_accuracy_root2", number(summary.certified_root2[i])},
                    {"certified_accuracy_executed", executed ? number(summary.certified_executed[i]) : nullptr}});
  }
  return rows;
}

Json classes_json(const CertificationReport& report, const CertificationSummary& summary) {
  Json rows = Json::array();
  for (size_t c = 0; c < report.class_names.size(); ++c) {
    rows.push_back({{"name", report.class_names[c]},
                    {"n", summary.class_n[c]},
                    {"clean_accuracy", number(summary.class_accuracy[c])},
                    {"certified_accuracy", number(summary.class_certified[c])}});
  }
  return rows;
}

Json layers_json(const CertificationReport& report) {
  Json rows = Json::array();
  for (const LayerRow& layer : report.layers) {
    rows.push_back({{"name", layer.name},
                    {"type", layer.type},
                    {"settings", layer.settings},
                    {"output", layer.output},
                    {"parameters", layer.parameters},
                    {"macs", number(layer.macs)},
                    {"bound", number(layer.bound)},
                    {"method", layer.method}});
  }
  return rows;
}

Json settings_json(const std::vector<std::pair<std::string, std::string>>& settings) {
  Json object = Json::object();
  for (const auto& [name, value] : settings) {
    GSNET_CHECK(!object.contains(name), fmt::format("[report] the setting {} is named twice", name));
    object[name] = value;
  }
  return object;
}

Json beside_json(const CertificationReport& report) {
  Json rows = Json::array();
  for (const Comparison& other : report.beside) {
    Json radii = Json::array();
    for (const auto& [radius, share] : other.accuracy) {
      radii.push_back({{"eps", number(radius)}, {"accuracy", number(share)}});
    }
    rows.push_back({{"name", other.name},
                    {"from_above", other.from_above},
                    {"radii", std::move(radii)},
                    {"settings", settings_json(other.settings)}});
  }
  return rows;
}

Json samples_json(const CertificationReport& report) {
  Json rows = Json::array();
  for (const CertifiedSample& sample : report.samples) {
    rows.push_back({{"index", sample.index},
                    {"name", sample.name},
                    {"label", sample.label},
                    {"predicted", sample.predicted},
                    {"radius", number(sample.radius_l2)},
                    {"root2_radius", number(sample.root2_radius_l2)},
                    {"executed_radius", report.executed ? number(sample.executed_radius_l2) : nullptr}});
  }
  return rows;
}

}  // namespace

std::string report_json(const CertificationReport& report, bool with_samples) {
  const CertificationSummary summary = summarise(report);
  Json json = Json::object();
  json["n"] = summary.n;
  json["clean_accuracy"] = number(summary.clean_accuracy);
  json["ties"] = summary.ties;
  json["radii"] = radii_json(summary);
  json["mean_certified_radius"] = number(summary.mean_certified_radius);
  json["mean_executed_radius"] = report.executed ? number(summary.mean_executed_radius) : nullptr;
  json["lipschitz_bound"] = number(report.lipschitz_bound);
  json["network_bound"] = number(report.network_bound);
  json["classes"] = classes_json(report, summary);
  json["layers"] = layers_json(report);
  json["beside"] = beside_json(report);
  json["settings"] = settings_json(report.settings);
  if (with_samples) json["samples"] = samples_json(report);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace gsnet
