#include "apps/beside.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/options.h"
#include "core/error.h"
#include "io/safetensors.h"

namespace gsnet::apps {
namespace {

using Json = nlohmann::json;

Comparison comparison_of(const std::string& path, const Json& json, int64_t count) {
  const bool attack = json.contains("violations"), smoothing = json.contains("sigma");
  GSNET_CHECK(attack || smoothing, fmt::format("{}: was written by neither gsnet attack nor gsnet smooth", path));
  const auto n = json.at("n").get<int64_t>();
  GSNET_CHECK(n == count, fmt::format("{}: is about {} pictures, here are {}", path, n, count));
  Comparison other;
  other.from_above = attack;
  other.name = attack ? "under attack" : fmt::format("randomised smoothing, sigma {}", json.at("sigma").get<double>());
  for (const Json& row : json.at("radii")) {
    other.accuracy.emplace_back(row.at("eps").get<double>(),
                                row.at(attack ? "attacked_accuracy" : "certified_accuracy").get<double>());
  }
  return other;
}

}  // namespace

std::vector<Comparison> read_comparisons(const std::string& files, int64_t count) {
  std::vector<Comparison> all;
  for (const std::string& path : split_list(files)) {
    const std::string text = io::read_text(path);
    try {
      all.push_back(comparison_of(path, Json::parse(text), count));
    } catch (const Json::exception& error) {
      throw Error(fmt::format("{}: {}", path, error.what()));
    }
  }
  return all;
}

void check_order(const CertificationSummary& summary, const std::vector<Comparison>& beside) {
  for (const Comparison& other : beside) {
    for (const auto& [radius, share] : other.accuracy) {
      for (const auto& [certified_radius, certified] : summary.certified) {
        const bool same = std::abs(radius - certified_radius) <= 1e-12;
        GSNET_CHECK(!other.from_above || !same || certified <= share,
                    fmt::format("at radius {:.6g} a share of {} is certified, but attacks left only {} standing: the "
                                "certificate, or the pairing of the files, is wrong",
                                radius, certified, share));
      }
    }
  }
}

}  // namespace gsnet::apps
