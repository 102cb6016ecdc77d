#include "apps/verify_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/options.h"

namespace gsnet::apps {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kNamed = 5;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

std::string accuracy_text(const VerifyCondition& condition) {
  if (!condition.folds) return fmt::format("{:.2f} % (best)", 100 * condition.best.accuracy);
  return fmt::format("{:.2f} % ± {:.2f}", 100 * condition.folds->mean, 100 * condition.folds->stddev);
}

std::string condition_line(const VerifyCondition& condition) {
  // The sign in the accuracy takes two bytes, which the width would count.
  const std::string accuracy = accuracy_text(condition);
  const int padding = condition.folds ? 19 : 18;
  std::string line = fmt::format("{:<18}{:>7}{:>{}}{:>9.2f} %{:>9.5f}", condition.name, condition.pairs.size(),
                                 accuracy, padding, 100 * condition.equal_error_rate, condition.area);
  for (const TarAtFar& rate : condition.rates) {
    line += rate.enough ? fmt::format("{:>10.2f} %", 100 * rate.tar) : fmt::format("{:>12}", "too few");
  }
  return line + "\n";
}

Json condition_json(const VerifyCondition& condition) {
  Json json = {{"name", condition.name}, {"pairs", condition.pairs.size()}};
  json["same"] = std::ranges::count(condition.pairs, true, &ScoredPair::same);
  json["accuracy"] = condition.folds ? number(condition.folds->mean) : nullptr;
  json["accuracy_stddev"] = condition.folds ? number(condition.folds->stddev) : nullptr;
  json["fold_accuracies"] = condition.folds ? Json(condition.folds->accuracies) : Json(nullptr);
  json["fold_thresholds"] = condition.folds ? Json(condition.folds->thresholds) : Json(nullptr);
  json["best_accuracy"] = number(condition.best.accuracy);
  json["best_threshold"] = number(condition.best.threshold);
  json["accuracy_at_threshold"] = number(condition.at_threshold);
  json["equal_error_rate"] = number(condition.equal_error_rate);
  json["area_under_curve"] = number(condition.area);
  json["rates"] = Json::array();
  for (const TarAtFar& rate : condition.rates) {
    json["rates"].push_back({{"far", rate.far},
                             {"tar", rate.enough ? number(rate.tar) : Json(nullptr)},
                             {"tar_low", rate.enough ? number(rate.low) : Json(nullptr)},
                             {"tar_high", rate.enough ? number(rate.high) : Json(nullptr)},
                             {"threshold", number(rate.threshold)},
                             {"impostors", rate.impostors},
                             {"impostors_allowed", rate.allowed}});
  }
  return json;
}

Json certificates_json(const VerifyReport& report) {
  Json json;
  const bool bounded = report.certificates.missing.empty();
  json["lipschitz_bound"] = bounded ? number(report.certificates.lipschitz) : nullptr;
  json["why_none"] = bounded ? Json(nullptr) : Json(report.certificates.missing);
  json["median_radius"] = bounded ? number(report.median_radius()) : nullptr;
  json["radii"] = Json::array();
  for (const double radius : report.radii) {
    json["radii"].push_back(
        {{"eps", radius}, {"certified_accuracy", bounded ? number(report.certified(radius)) : nullptr}});
  }
  return json;
}

std::string left_out_text(const VerifyReport& report) {
  std::string text;
  if (report.pairs_left_out > 0) {
    text += fmt::format("left out                {} pairs: {} pictures that they name are not there:",
                        report.pairs_left_out, report.missing.size());
    for (size_t i = 0; i < std::min(kNamed, report.missing.size()); ++i) text += " " + report.missing[i];
    text += report.missing.size() > kNamed ? " …\n" : "\n";
  }
  if (report.landmarks_unused > 0) {
    text += fmt::format("landmarks               {} lines name no picture that is there\n", report.landmarks_unused);
  }
  if (!report.unreadable.empty()) {
    text += fmt::format("unreadable              {} pictures, {} pairs are left out for them\n",
                        report.unreadable.size(), report.pairs_unreadable);
  }
  for (size_t i = 0; i < std::min(kNamed, report.unreadable.size()); ++i) {
    text += fmt::format("unreadable              {}\n", report.unreadable[i].second);
  }
  if (report.unreadable.size() > kNamed) {
    text += fmt::format("unreadable              {} more, all in the JSON\n", report.unreadable.size() - kNamed);
  }
  return text;
}

}  // namespace

std::string rate_text(double far) {
  const double power = std::round(std::log10(far));
  if (std::abs(far / std::pow(10, power) - 1) < 1e-9) return fmt::format("1e{:.0f}", power);
  return fmt::format("{:g}", far);
}

void judge(VerifyCondition& condition, int folds, const std::vector<double>& fars, double threshold) {
  const auto& pairs = condition.pairs;
  std::set<int> with_pairs;
  for (const ScoredPair& pair : pairs) with_pairs.insert(pair.fold);
  if (with_pairs.size() >= 2) condition.folds = fold_accuracy(pairs, folds);
  condition.best = best_threshold(pairs);
  condition.curve = roc_curve(pairs);
  condition.equal_error_rate = equal_error_rate(condition.curve);
  condition.area = area_under(condition.curve);
  const int64_t genuine = std::ranges::count(pairs, true, &ScoredPair::same);
  for (const double far : fars) {
    condition.rates.push_back(tar_at_far(condition.curve, genuine, std::ssize(pairs) - genuine, far));
  }
  const auto right =
      std::ranges::count_if(pairs, [&](const ScoredPair& p) { return (p.score >= threshold) == p.same; });
  condition.at_threshold = static_cast<double>(right) / static_cast<double>(pairs.size());
}

double VerifyReport::certified(double radius_l2) const {
  const std::vector<ScoredPair>& pairs = conditions.front().pairs;
  int64_t count = 0;
  for (size_t i = 0; i < certificates.pairs.size(); ++i) {
    const bool right = (pairs[i].score >= threshold) == pairs[i].same;
    count += right && certificates.pairs[i].one_l2 > radius_l2 ? 1 : 0;
  }
  return static_cast<double>(count) / static_cast<double>(std::max<size_t>(1, pairs.size()));
}

double VerifyReport::median_radius() const {
  if (certificates.pairs.empty()) return 0;
  std::vector<double> all;
  for (const VerificationCertificate& one : certificates.pairs) all.push_back(one.one_l2);
  std::ranges::nth_element(all, all.begin() + std::ssize(all) / 2);
  return all[all.size() / 2];
}

bool VerifyReport::certificates_useful() const {
  return certificates.missing.empty() && median_radius() >= VerifyCertificates::kLeastUseful;
}

std::string certificate_text(const VerifyReport& report) {
  if (!report.certificates.missing.empty()) return "none: " + report.certificates.missing;
  const double median = report.median_radius();
  if (!report.certificates_useful()) {
    return fmt::format(
        "none that says anything: the layers' norms multiply to {:.3g}, so that half of the decisions are certain only "
        "within an L2 radius of {:.2g}, less than one grey level of one pixel (1/255)",
        report.certificates.lipschitz, median);
  }
  std::string text = fmt::format("Lipschitz bound {:.6g}, median radius {:.4f}, right and certified",
                                 report.certificates.lipschitz, median);
  for (const double radius : report.radii) {
    text += fmt::format(" at {} {:.2f} %{}", radius_text(radius), 100 * report.certified(radius),
                        radius == report.radii.back() ? "" : ",");
  }
  return text;
}

std::string verify_table(const VerifyReport& report) {
  std::string text = fmt::format("pictures                {}, each embedded once a condition\n", report.pictures);
  text += left_out_text(report);
  text += fmt::format("threshold               {:.4f} of the cosine ({}): {:.2f} % of the clean pairs right\n",
                      report.threshold, report.threshold_given ? "given" : "chosen on the clean pairs",
                      100 * report.conditions.front().at_threshold);
  const std::string accuracy = report.folds >= 2 ? fmt::format("{}-fold accuracy", report.folds) : "accuracy";
  text += fmt::format("\n{:<18}{:>7}{:>18}{:>11}{:>9}", "", "pairs", accuracy, "EER", "AUC");
  for (const double far : report.fars) text += fmt::format("{:>12}", "TAR@" + rate_text(far));
  text += "\n";
  for (const VerifyCondition& condition : report.conditions) text += condition_line(condition);
  return text + fmt::format("\ncertificates            {}\n", certificate_text(report));
}

std::string verify_json(const VerifyReport& report) {
  Json json;
  json["pictures"] = report.pictures;
  json["folds"] = report.folds;
  json["threshold"] = number(report.threshold);
  json["conditions"] = Json::array();
  for (const VerifyCondition& condition : report.conditions) json["conditions"].push_back(condition_json(condition));
  json["certificates"] = certificates_json(report);
  json["pairs_left_out"] = report.pairs_left_out;
  json["missing"] = report.missing;
  json["landmarks_unused"] = report.landmarks_unused;
  json["pairs_unreadable"] = report.pairs_unreadable;
  json["unreadable"] = Json::array();
  for (const auto& [name, reason] : report.unreadable)
    json["unreadable"].push_back({{"name", name}, {"reason", reason}});
  for (const auto& [key, value] : report.settings) json["settings"][key] = value;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace gsnet::apps
