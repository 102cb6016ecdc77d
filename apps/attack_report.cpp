#include "apps/attack_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/beside.h"
#include "apps/options.h"
#include "core/error.h"

namespace gsnet::apps {
namespace {

constexpr size_t kNamed = 10;  // violations that the message names; the JSON names all

double share(int64_t count, const AttackReport& report) {
  return static_cast<double>(count) / std::max<double>(1, static_cast<double>(report.labels.size()));
}

std::string numbers_text(const std::vector<int64_t>& pictures) {
  const auto shown = std::min(kNamed, pictures.size());
  return fmt::format("{} {}{}", pictures.size() == 1 ? "picture" : "pictures",
                     fmt::join(pictures.begin(), pictures.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                     pictures.size() > kNamed ? ", …" : "");
}

std::string broken_by(const AttackReport& report, double radius) {
  std::string text;
  for (size_t a = 0; a < report.spec.attacks.size(); ++a) {
    text += fmt::format("{}{} {}", a == 0 ? "" : ", ", report.spec.attacks[a],
                        report.battery.broken_by(static_cast<int>(a), radius));
  }
  return text;
}

}  // namespace

int64_t AttackReport::certified(const std::vector<double>& radii_l2, double radius_l2) const {
  int64_t count = 0;
  for (size_t n = 0; n < radii_l2.size(); ++n) count += battery.outcomes[n].right && radii_l2[n] > radius_l2 ? 1 : 0;
  return count;
}

const std::string& AttackReport::attack_name(int number) const {
  const auto at = static_cast<size_t>(number);
  return at < spec.attacks.size() ? spec.attacks[at] : corruptions.at(at - spec.attacks.size()).name;
}

namespace {

/// A line a kind, a column a severity.
std::string corruption_table(const AttackReport& report) {
  std::string text, kind;
  for (const CorruptedAccuracy& one : report.corruptions) {
    if (one.name.find('+') != std::string::npos) {  // a chain has a line of its own
      kind = one.name;
      text += fmt::format("\n{:<24}{:>5.1f} %", kind, 100 * one.accuracy);
      continue;
    }
    const size_t colon = one.name.find(':');
    if (one.name.substr(0, colon) != kind) {
      kind = one.name.substr(0, colon);
      text += fmt::format("\n{:<16}", kind);
    }
    text += fmt::format("{:>8}:{:>5.1f} %", one.name.substr(colon + 1), 100 * one.accuracy);
  }
  return text.empty() ? "" : "accuracy under common corruptions, by severity" + text + "\n";
}

}  // namespace

std::string attack_table(const AttackReport& report) {
  std::string text = fmt::format("{:<10}{:>12}{:>14}{:>15}{:>10}   {}\n", "L2 radius", "certified", "as executed",
                                 "under attack", "clean", "broken by");
  for (double radius : report.spec.radii) {
    const std::string ran =
        report.executed ? fmt::format("{:.2f} %", 100 * share(report.certified(report.executed_l2, radius), report))
                        : "not asked";
    text += fmt::format("{:<10}{:>10.2f} %{:>14}{:>13.2f} %{:>8.2f} %   {}\n", radius_text(radius),
                        100 * share(report.certified(report.certified_l2, radius), report), ran,
                        100 * share(report.battery.survivors(radius), report),
                        100 * share(report.battery.right(), report), broken_by(report, radius));
  }
  int64_t runs = 0;
  for (int64_t count : report.battery.runs) runs += count;
  text += fmt::format("images {}, attack runs {}, broken certificates {}\n", report.labels.size(), runs,
                      report.violations.size());
  if (!report.broken_by_rounding.empty()) {
    text += fmt::format(
        "broken within the radius for real arithmetic, by rounding errors, and not within that as "
        "executed: {} ({})\n",
        report.broken_by_rounding.size(), numbers_text(report.broken_by_rounding));
  }
  text += corruption_table(report);
  const std::string certain =
      report.executed ? fmt::format(", of which {:.6g} is no rounding error", report.lipschitz_certain) : "";
  return text + fmt::format("Lipschitz constant, pixels to logits: {:.6g} found{}; at most {:.6g} (proven)\n",
                            report.lipschitz_found, certain, report.lipschitz_bound);
}

namespace {

nlohmann::ordered_json pictures_json(const AttackReport& report) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (size_t n = 0; n < report.labels.size(); ++n) {
    const AttackOutcome& outcome = report.battery.outcomes[n];
    const bool broken = outcome.attack >= 0;
    rows.push_back({{"index", n},
                    {"name", report.names[n]},
                    {"label", report.labels[n]},
                    {"right", outcome.right},
                    {"radius", report.certified_l2.at(n)},
                    {"executed_radius", nullptr},
                    {"distance", nullptr},
                    {"attack", nullptr},
                    {"taken_for", nullptr}});
    if (report.executed) rows.back()["executed_radius"] = report.executed_l2.at(n);
    if (!broken) continue;
    rows.back()["distance"] = outcome.distance_l2;
    rows.back()["attack"] = report.attack_name(outcome.attack);
    rows.back()["taken_for"] = outcome.taken_for;
  }
  return rows;
}

}  // namespace

std::string attack_json(const AttackReport& report) {
  nlohmann::ordered_json json;
  json["n"] = report.labels.size();
  json["clean_accuracy"] = share(report.battery.right(), report);
  json["radii"] = nlohmann::ordered_json::array();
  for (double radius : report.spec.radii) {
    nlohmann::ordered_json row = {{"eps", radius},
                                  {"certified_accuracy", share(report.certified(report.certified_l2, radius), report)},
                                  {"certified_accuracy_executed", nullptr},
                                  {"attacked_accuracy", share(report.battery.survivors(radius), report)}};
    if (report.executed) {
      row["certified_accuracy_executed"] = share(report.certified(report.executed_l2, radius), report);
    }
    for (size_t a = 0; a < report.spec.attacks.size(); ++a)
      row["broken_by"][report.spec.attacks[a]] = report.battery.broken_by(static_cast<int>(a), radius);
    json["radii"].push_back(row);
  }
  for (size_t a = 0; a < report.spec.attacks.size(); ++a) json["runs"][report.spec.attacks[a]] = report.battery.runs[a];
  json["corruptions"] = nlohmann::ordered_json::array();
  for (const CorruptedAccuracy& one : report.corruptions)
    json["corruptions"].push_back({{"name", one.name}, {"accuracy", one.accuracy}});
  json["lipschitz_found"] = report.lipschitz_found;
  json["lipschitz_certain"] = report.executed ? nlohmann::ordered_json(report.lipschitz_certain) : nullptr;
  json["lipschitz_bound"] = report.lipschitz_bound;
  json["violations"] = nlohmann::ordered_json::array();
  for (int64_t n : report.violations) {
    const auto at = static_cast<size_t>(n);
    const AttackOutcome& outcome = report.battery.outcomes[at];
    json["violations"].push_back({{"index", n},
                                  {"name", report.names[at]},
                                  {"distance", outcome.distance_l2},
                                  {"certified_radius", report.refutable_l2()[at]},
                                  {"attack", report.attack_name(outcome.attack)}});
  }
  json["broken_by_rounding"] = report.broken_by_rounding;
  for (const auto& [key, value] : report.settings) json["settings"][key] = value;
  json["pictures"] = pictures_json(report);
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string violation_text(const AttackReport& report) {
  if (!report.violations.empty()) {
    std::string text = fmt::format("{} of {} certificates are wrong:", report.violations.size(), report.labels.size());
    for (size_t i = 0; i < std::min(kNamed, report.violations.size()); ++i) {
      const auto at = static_cast<size_t>(report.violations[i]);
      text +=
          fmt::format("{} image {} ({}) broken at {:.6g}, certified to {:.6g}", i == 0 ? "" : ";", report.violations[i],
                      report.names[at], report.battery.outcomes[at].distance_l2, report.refutable_l2()[at]);
    }
    text += report.violations.size() > kNamed ? "; …" : "";
    return text + (report.executed ? "" : " in real arithmetic, while rounding errors were not bounded");
  }
  if (!report.lipschitz_violated()) return "";
  return fmt::format("the Lipschitz bound is wrong: two pictures stretch by {:.9g}, the bound is {:.9g}",
                     report.lipschitz_certain, report.lipschitz_bound);
}

io::TensorFile broken_pictures(const AttackReport& report, const Shape& picture, ChannelOrder order) {
  std::vector<int64_t> index;
  std::vector<int32_t> label, taken_for;
  std::vector<double> distance;
  for (size_t n = 0; n < report.labels.size(); ++n) {
    if (report.battery.outcomes[n].attack < 0) continue;
    index.push_back(static_cast<int64_t>(n));
    label.push_back(report.labels[n]);
    taken_for.push_back(report.battery.outcomes[n].taken_for);
    distance.push_back(report.battery.outcomes[n].distance_l2);
  }
  const auto count = static_cast<int64_t>(index.size());
  const Pixels pictures = report.battery.nearest.at(index);
  const Shape shape =
      picture.rank() == 3 ? Shape{count, picture[0], picture[1], picture[2]} : Shape{count, picture.numel()};
  io::TensorFile file;
  file.tensors = {{"pictures", Tensor::of<float>(shape, std::span<const float>(pictures.values))},
                  {"index", Tensor::of<int64_t>({count}, std::span<const int64_t>(index))},
                  {"label", Tensor::of<int32_t>({count}, std::span<const int32_t>(label))},
                  {"taken_for", Tensor::of<int32_t>({count}, std::span<const int32_t>(taken_for))},
                  {"distance_l2", Tensor::of<double>({count}, std::span<const double>(distance))}};
  for (const auto& [key, value] : report.settings) {
    if (tells_run(key)) file.metadata[key] = value;
  }
  file.metadata["order"] = order == ChannelOrder::bgr ? "bgr" : "rgb";
  return file;
}

}  // namespace gsnet::apps
