// The page of `gsnet verify`.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "apps/verify_report.h"
#include "certify/report_chart.h"
#include "certify/report_picture.h"
#include "certify/report_style.h"
#include "certify/report_tables.h"
#include "certify/report_text.h"

namespace gsnet::apps {
namespace {

using namespace report;

constexpr double kFinest = 0.4;  // picture units between two steps of a drawn curve
constexpr double kBin = 0.02;    // of a cosine
constexpr size_t kUnreadableShown = 50;
/// Colours that can be told apart on light and dark paper; the first is for the clean pictures.
constexpr std::array kColours = {"var(--main)", "#b5562c", "#4f8a4c", "#8a5fa8",
                                 "#b98a1e",     "#2f9090", "#b04a76", "#7d7d7d"};

constexpr const char* kMore =
    ".pairs { display: flex; flex-wrap: wrap; gap: 1.1rem 1.4rem; list-style: none; margin: 0; padding: 0; "
    "font: .8125rem/1.35 var(--sans); } .pairs li { width: 200px; break-inside: avoid; overflow: hidden; } "
    ".pairs div { display: flex; gap: 4px; margin-bottom: .3rem; } .pairs span { color: var(--muted); } "
    ".pairs b { font-weight: 600; } .roc { fill: none; stroke-width: 2; stroke-linejoin: round; }";

std::string colour(size_t i) { return kColours[i % kColours.size()]; }

/// A second line of a colour is dashed, a third one dotted.
constexpr std::array kDashes = {"none", "9 4", "2 4"};
const char* dash(size_t i) { return kDashes[i / kColours.size() % kDashes.size()]; }

std::string key_of(const VerifyReport& report) {
  std::string key;
  for (size_t i = 0; i < report.conditions.size(); ++i) {
    key += fmt::format(
        "<span><svg width=\"26\" height=\"8\" aria-hidden=\"true\"><path class=\"roc\" "
        "style=\"stroke:{};stroke-dasharray:{}\" "
        "d=\"M0 4H26\"></path></svg> {}</span>",
        colour(i), dash(i), escaped(report.conditions[i].name));
  }
  return "<p class=\"key\">" + key + "</p>\n";
}

std::string figure(std::string_view name, std::string_view value, std::string_view note) {
  return fmt::format("<div><dt>{}</dt><dd>{}</dd><dd>{}</dd></div>\n", name, value, note);
}

std::string headline(const VerifyReport& report) {
  const VerifyCondition& clean = report.conditions.front();
  std::string out = "<dl class=\"figures\">\n";
  out += figure("pairs", count(std::ssize(clean.pairs)), fmt::format("{} pictures", count(report.pictures)));
  if (clean.folds) {
    out += figure(fmt::format("{}-fold accuracy", report.folds), percent(clean.folds->mean, 2),
                  fmt::format("± {} over folds", percent(clean.folds->stddev, 2)));
  }
  out += figure("equal error rate", percent(clean.equal_error_rate, 2), "");
  for (const TarAtFar& rate : clean.rates) {
    if (rate.enough && rate.far <= 0.01) {
      out += figure(fmt::format("TAR at FAR {:g}", rate.far), percent(rate.tar, 2),
                    fmt::format("{} to {}", percent(rate.low, 2), percent(rate.high, 2)));
    }
  }
  return out + "</dl>\n";
}

std::string condition_table(const VerifyReport& report) {
  std::string head = "<th>pictures</th><th class=\"n\">pairs</th><th class=\"n\">accuracy</th><th class=\"n\">EER</th>";
  for (const double far : report.fars) head += fmt::format("<th class=\"n\">TAR at {:g}</th>", far);
  std::string rows;
  for (const VerifyCondition& condition : report.conditions) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td>", escaped(condition.name),
                        count(std::ssize(condition.pairs)));
    rows += condition.folds ? fmt::format("<td class=\"n\">{} ± {}</td>", percent(condition.folds->mean, 2),
                                          percent(condition.folds->stddev, 2))
                            : fmt::format("<td class=\"n\">{} (best)</td>", percent(condition.best.accuracy, 2));
    rows += fmt::format("<td class=\"n\">{}</td>", percent(condition.equal_error_rate, 2));
    for (const TarAtFar& rate : condition.rates) {
      rows += rate.enough ? fmt::format("<td class=\"n\" title=\"{} to {}\">{}</td>", percent(rate.low, 2),
                                        percent(rate.high, 2), percent(rate.tar, 2))
                          : "<td class=\"n\">too few pairs</td>";
    }
    rows += "</tr>\n";
  }
  return fmt::format("<div class=\"scroll\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody>\n</table></div>\n",
                     head, rows);
}

/// Steps closer than the eye resolves are drawn as one.
std::string roc_path(const Plot& plot, const std::vector<RocPoint>& curve) {
  std::string path;
  double last_x = 0, last_y = 0;
  for (size_t i = 0; i < curve.size(); ++i) {
    const double x = plot.x(std::log10(std::max(curve[i].far, std::pow(10, plot.x.low))));
    const double y = plot.y(std::max(curve[i].tar, plot.y.low));
    if (path.empty()) {
      path = fmt::format("M{:.2f} {:.2f}", x, y);
    } else if (i + 1 < curve.size() && std::abs(x - last_x) < kFinest && std::abs(y - last_y) < kFinest) {
      continue;
    } else {
      path += fmt::format("H{:.2f}V{:.2f}", x, y);
    }
    last_x = x;
    last_y = y;
  }
  return path;
}

std::string power_label(double power) {
  return power == 0 ? "1" : power == -1 ? "0.1" : fmt::format("1e{:.0f}", power);
}

/// The rate of impostors on a logarithmic axis, down to what one pair makes; from the lowest curve's left end up.
std::string roc_chart(const VerifyReport& report) {
  double least = 1, lowest = 1;
  for (const VerifyCondition& condition : report.conditions) {
    const auto first = std::ranges::find_if(condition.curve, [](const RocPoint& p) { return p.far > 0; });
    least = std::min(least, first->far);
    lowest = std::min(lowest, first == condition.curve.begin() ? 0 : (first - 1)->tar);
  }
  const double from = std::floor(std::log10(std::max(least, 1e-9)) + 1e-9);
  const double bottom = std::min(0.99, std::floor(lowest * (1 - 1e-9) * 20) / 20);
  const Plot plot{{from, 0, 84, 704}, {bottom, 1, 344, 14}, 720, 400};
  std::string body = y_axis(
      plot, ticks(bottom, 1, 6), [](double value) { return percent(value, 1); }, "same person recognised (TAR)");
  std::vector<double> powers;
  std::vector<std::string> labels;
  for (double power = from; power <= 0; ++power) {
    powers.push_back(power);
    labels.push_back(power_label(power));
  }
  body += x_axis(plot, powers, labels, "different people taken for the same (FAR), logarithmic");
  for (size_t i = report.conditions.size(); i-- > 0;) {
    body +=
        fmt::format("<path class=\"roc\" style=\"stroke:{};stroke-dasharray:{}\" d=\"{}\"><title>{}</title></path>\n",
                    colour(i), dash(i), roc_path(plot, report.conditions[i].curve), escaped(report.conditions[i].name));
  }
  return svg(plot, "Receiver operating characteristic", body);
}

struct Histogram {
  int64_t first = 0;  ///< bin i covers kBin * (first + i) on
  std::vector<int64_t> same, different;
};

Histogram histogram_of(const std::vector<ScoredPair>& pairs) {
  const auto bin = [](double score) { return static_cast<int64_t>(std::floor(score / kBin + 1e-9)); };
  const auto [low, high] = std::ranges::minmax(pairs, {}, &ScoredPair::score);
  Histogram bins;
  bins.first = bin(low.score);
  const auto size = static_cast<size_t>(bin(high.score) - bins.first + 1);
  bins.same.resize(size);
  bins.different.resize(size);
  for (const ScoredPair& pair : pairs) {
    ++(pair.same ? bins.same : bins.different)[static_cast<size_t>(bin(pair.score) - bins.first)];
  }
  return bins;
}

std::string bars(const Plot& plot, int64_t first, const std::vector<int64_t>& counts, bool same) {
  std::string out;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    const double left = kBin * static_cast<double>(first + static_cast<int64_t>(i));
    const auto value = static_cast<double>(counts[i]);
    const double x = plot.x(left), width = std::max(plot.x(left + kBin) - x - 1, 0.5);
    const double top = same ? plot.y(value) : plot.y(0), height = std::abs(plot.y(0) - plot.y(same ? value : -value));
    out += fmt::format(
        "<rect class=\"{}\" x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\"><title>{:.2f} to {:.2f}: {}"
        "</title></rect>\n",
        same ? "correct" : "wrong", x, top, width, height, left, left + kBin, count(counts[i]));
  }
  return out;
}

std::string histogram(const VerifyReport& report, const VerifyCondition& condition, double low, double high) {
  const Histogram bins = histogram_of(condition.pairs);
  const auto up = static_cast<double>(std::max<int64_t>(1, std::ranges::max(bins.same)));
  const auto down = static_cast<double>(std::max<int64_t>(1, std::ranges::max(bins.different)));
  const Plot plot{{low, high, 66, 704}, {-down * 1.05, up * 1.05, 250, 12}, 720, 306};
  std::vector<double> counts;
  const double step = std::max(1.0, nice_step((up + down) / 6));
  for (double k = std::ceil(plot.y.low / step); k * step <= plot.y.high; ++k) counts.push_back(k * step + 0.0);
  const auto label = [](double value) { return count(static_cast<int64_t>(std::abs(value))); };
  const std::vector<double> values = ticks(low, high, 8);
  std::vector<std::string> labels;
  for (const double value : values) labels.push_back(tick_label(value, values.size() > 1 ? values[1] - values[0] : 1));
  std::string body = y_axis(plot, counts, label, "pairs") + x_axis(plot, values, labels, "cosine of the embeddings");
  body += bars(plot, bins.first, bins.same, true) + bars(plot, bins.first, bins.different, false);
  if (report.threshold > low && report.threshold < high) {
    const double x = plot.x(report.threshold);
    body += fmt::format("<line class=\"drop\" x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\"/>\n", x,
                        plot.y.to, plot.y.from);
  }
  return svg(plot, "Cosines of pairs, " + escaped(condition.name), body);
}

std::string histogram_section(const VerifyReport& report) {
  double low = 1, high = -1;
  for (const VerifyCondition& condition : report.conditions) {
    const auto [least, most] = std::ranges::minmax(condition.pairs, {}, &ScoredPair::score);
    low = std::min(low, std::floor(least.score / 0.1) * 0.1);
    high = std::max(high, std::ceil(most.score / 0.1) * 0.1);
  }
  std::string out = fmt::format(
      "<h2>Cosines</h2>\n<p class=\"key\"><span><i class=\"correct\"></i>same person, upwards</span><span><i "
      "class=\"wrong\"></i>different people, downwards</span></p>\n<p class=\"caption\">The dotted line is the "
      "decision "
      "threshold, {:.4f}.</p>\n",
      report.threshold);
  for (const VerifyCondition& condition : report.conditions) {
    out += "<h3>" + escaped(condition.name) + "</h3>\n" + histogram(report, condition, low, std::max(high, low + 0.1));
  }
  return out;
}

std::string pair_gallery(std::string_view title, const std::vector<WorstPair>& pairs) {
  if (pairs.empty()) return "";
  std::string out = fmt::format("<h3>{}</h3>\n<ul class=\"pairs\">\n", title);
  for (const WorstPair& pair : pairs) {
    out += fmt::format("<li><div>{}{}</div><b>{:.3f}</b> <span>{}</span></li>\n", image(pair.first, "first picture"),
                       image(pair.second, "second picture"), pair.score, escaped(pair.names));
  }
  return out + "</ul>\n";
}

std::string worst_section(const VerifyReport& report) {
  if (report.least_alike.empty() && report.most_alike.empty()) return "";
  return "<h2>Worst pairs</h2>\n<p class=\"caption\">Clean pictures, with the cosine of their embeddings.</p>\n" +
         pair_gallery("The same person, least alike", report.least_alike) +
         pair_gallery("Different people, most alike", report.most_alike);
}

std::string certificate_section(const VerifyReport& report) {
  std::string out = "<h2>Certificates</h2>\n<p>" + escaped(certificate_text(report)) + ".</p>\n";
  if (!report.certificates_useful()) return out;
  return out +
         "<p class=\"caption\">A radius r says: no change of one of the two pictures of at most this L2 norm, pixels "
         "in "
         "[0, 1], makes the cosine cross the threshold, in real arithmetic. See docs/certificates.md.</p>\n";
}

std::string left_out_section(const VerifyReport& report) {
  if (report.pairs_left_out == 0 && report.unreadable.empty() && report.landmarks_unused == 0) return "";
  std::string out = "<h2>Left out</h2>\n";
  if (report.landmarks_unused > 0) {
    out += fmt::format("<p>{} lines of the landmarks name no picture that is there.</p>\n",
                       count(report.landmarks_unused));
  }
  if (report.pairs_left_out > 0) {
    out += fmt::format("<p>{} pairs name pictures that are not there: ", count(report.pairs_left_out));
    for (size_t i = 0; i < std::min(kUnreadableShown, report.missing.size()); ++i) {
      out += (i == 0 ? "" : ", ") + escaped(report.missing[i]);
    }
    out += report.missing.size() > kUnreadableShown ? ", …</p>\n" : ".</p>\n";
  }
  if (report.unreadable.empty()) return out;
  out += fmt::format("<p>{} pictures cannot be read, and pairs with them are not counted:</p>\n<ul>\n",
                     count(std::ssize(report.unreadable)));
  for (size_t i = 0; i < std::min(kUnreadableShown, report.unreadable.size()); ++i) {
    out += "<li>" + escaped(report.unreadable[i].second) + "</li>\n";
  }
  return out + "</ul>\n";
}

constexpr const char* kMeaning =
    "<h2>What the figures mean</h2>\n"
    "<p>Accuracy is that of the LFW protocol: each fold is judged by the threshold that is best on the others; ± is "
    "the "
    "standard deviation over folds. TAR at FAR is the share of pairs of one person that are recognised at a threshold "
    "where at most that share of the other pairs is taken for one person; a rate that not even one of them may reach "
    "is "
    "not told, and the intervals are Wilson's of 95 %. EER is the rate where both errors are equal. All figures hold "
    "for "
    "these pairs: other cameras, ages and populations have others.</p>\n";

}  // namespace

std::string verify_html(const VerifyReport& report) {
  const std::string title = escaped(report.title);
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n"
      "<style>{1}{2}</style>\n</head>\n<body>\n<h1>{0}</h1>\n<p class=\"subtitle\">Are two pictures of one "
      "person?</p>\n",
      title, style(), kMore);
  page += headline(report);
  page += "<h2>Rates</h2>\n" + condition_table(report) + "<h3>Curves</h3>\n" + key_of(report) + roc_chart(report);
  page += histogram_section(report) + worst_section(report) + certificate_section(report) + left_out_section(report);
  if (!report.settings.empty()) page += "<h2>Settings</h2>\n" + settings_table(report.settings);
  return page + kMeaning + "</body>\n</html>\n";
}

}  // namespace gsnet::apps
