#include "certify/report_tables.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <string_view>
#include <vector>

#include "certify/report_text.h"

namespace gsnet::report {
namespace {

constexpr size_t kRowsShown = 60;

/// Long tables scroll on the screen and are whole on paper; wide ones scroll sideways.
std::string table(std::string_view style, std::string_view head, std::string_view rows, size_t count_rows) {
  return fmt::format(
      "<div class=\"scroll{}\"><table class=\"{}\">\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody>\n</table></div>\n",
      count_rows > kRowsShown ? " tall" : "", style, head, rows);
}

std::string bar(double clean, double certified) {
  if (std::isnan(clean)) return "";
  return fmt::format(
      "<span class=\"bar\"><i class=\"clean\" style=\"width:{:.1f}%\"></i>"
      "<i class=\"certified\" style=\"width:{:.1f}%\"></i></span>",
      clean * 100, certified * 100);
}

}  // namespace

std::string first_radius_title(const CertificationReport& report) {
  return report.radii.empty() ? "certified" : "certified at " + radius(report.radii.front());
}

std::string class_table(const CertificationReport& report, const CertificationSummary& summary) {
  std::string rows;
  for (size_t c = 0; c < report.class_names.size(); ++c) {
    const double clean = summary.class_accuracy[c], certified = summary.class_certified[c];
    rows += fmt::format(
        "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>"
        "<td class=\"bars\">{}</td></tr>\n",
        escaped(report.class_names[c]), count(summary.class_n[c]), percent(clean), percent(certified),
        bar(clean, certified));
  }
  const std::string head = fmt::format(
      "<th>class</th><th class=\"n\">pictures</th><th class=\"n\">clean</th><th class=\"n\">{}</th>"
      "<th class=\"bars scale\"><span>0</span><span>50</span><span>100{}</span></th>",
      first_radius_title(report), "\u202f%");
  return table("classes", head, rows, report.class_names.size());
}

std::string radius_table(const CertificationReport& report, const CertificationSummary& summary) {
  std::map<double, std::vector<std::string>> rows;
  const size_t columns = 2 + (report.executed ? 1 : 0) + report.beside.size();
  const auto put = [&](double radius_l2, size_t column, double share) {
    rows.try_emplace(radius_l2, columns).first->second[column] = percent(share);
  };
  for (size_t i = 0; i < summary.certified.size(); ++i) {
    put(summary.certified[i].first, 0, summary.certified[i].second);
    put(summary.certified[i].first, 1, summary.certified_root2[i]);
    if (report.executed) put(summary.certified[i].first, 2, summary.certified_executed[i]);
  }
  std::string head = "<th>radius</th><th class=\"n\">certified</th><th class=\"n\">by √2 L alone</th>";
  if (report.executed) head += "<th class=\"n\">as executed</th>";
  for (size_t i = 0; i < report.beside.size(); ++i) {
    const Comparison& other = report.beside[i];
    head += fmt::format("<th class=\"n\">{}{}</th>", other.from_above ? "at most: " : "", escaped(other.name));
    for (const auto& [radius_l2, share] : other.accuracy) put(radius_l2, columns - report.beside.size() + i, share);
  }
  std::string body;
  for (const auto& [radius_l2, cells] : rows) {
    body += fmt::format("<tr><th scope=\"row\">{}</th>", radius(radius_l2));
    for (const std::string& cell : cells) body += fmt::format("<td class=\"n\">{}</td>", cell);
    body += "</tr>\n";
  }
  return table("radii", head, body, rows.size());
}

std::string layer_table(const CertificationReport& report) {
  std::string rows;
  int64_t parameters = 0;
  double macs = 0;
  for (const LayerRow& layer : report.layers) {
    rows += fmt::format(
        "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>"
        "<td class=\"n\">{}</td><td>{}</td></tr>\n",
        escaped(layer.name), escaped(layer.type), escaped(layer.settings), escaped(layer.output),
        count(layer.parameters), with_prefix(layer.macs), rounded_up(layer.bound), escaped(layer.method));
    parameters += layer.parameters;
    macs += layer.macs;
  }
  rows += fmt::format(
      "<tr class=\"total\"><th scope=\"row\">network</th><td></td><td></td><td></td><td class=\"n\">{}</td>"
      "<td class=\"n\">{}</td><td class=\"n\">{}</td><td>on normalised inputs</td></tr>\n",
      count(parameters), with_prefix(macs), rounded_up(report.network_bound));
  constexpr const char* kHead =
      "<th>layer</th><th>type</th><th>settings</th><th>output</th><th class=\"n\">parameters</th><th "
      "class=\"n\">multiply-adds</th>"
      "<th class=\"n\">bound</th><th>method</th>";
  return table("layers", kHead, rows, report.layers.size());
}

std::string settings_table(const std::vector<std::pair<std::string, std::string>>& settings) {
  std::string rows;
  for (const auto& [name, value] : settings) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escaped(name), escaped(value));
  }
  return table("settings", "<th>setting</th><th>value</th>", rows, 0);
}

}  // namespace gsnet::report
