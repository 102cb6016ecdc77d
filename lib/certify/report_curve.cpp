#include <fmt/format.h>

#include <algorithm>

#include "certify/report_chart.h"
#include "certify/report_text.h"

namespace gsnet::report {
namespace {

constexpr double kFinest = 0.25;     // picture units between two steps of the drawn curve
constexpr double kLabelHeight = 18;  // picture units
constexpr size_t kMostLabels = 8;

Plot curve_plot(double limit) { return {{0, limit, 66, 704}, {0, 1, 334, 34}, 720, 390}; }

/// Ascending radii of the correct predictions: certified, or as executed.
std::vector<double> correct_radii(const CertificationReport& report, double CertifiedSample::*radius_l2) {
  std::vector<double> radii;
  for (const CertifiedSample& sample : report.samples) {
    if (is_correct(sample)) radii.push_back(sample.*radius_l2);
  }
  std::ranges::sort(radii);
  return radii;
}

/// Whatever is certified, and every radius that another method was asked about; what attacks found beyond it leaves the
/// picture.
double curve_limit(const CertificationReport& report) {
  const double certified = radius_limit(report);
  double largest = certified;
  for (const Comparison& other : report.beside) {
    for (const auto& [radius_l2, share] : other.accuracy) largest = std::max(largest, radius_l2);
    for (const double radius_l2 : other.samples_l2) {
      if (!other.from_above) largest = std::max(largest, radius_l2);
    }
  }
  return largest > certified ? axis_end(largest) : certified;
}

/// Horizontal to each radius, then down; steps closer than the eye resolves are drawn as one.
std::string step_path(const Plot& plot, const std::vector<double>& radii, size_t n) {
  const auto height = [&](size_t passed) {
    return plot.y(static_cast<double>(radii.size() - passed) / static_cast<double>(n));
  };
  std::string path = fmt::format("M{:.2f} {:.2f}", plot.x(0), height(0));
  for (size_t i = 0; i < radii.size() && plot.x(radii[i]) < plot.x.to;) {
    const double x = plot.x(radii[i]);
    while (i < radii.size() && plot.x(radii[i]) < x + kFinest) ++i;
    path += fmt::format("H{:.2f}V{:.2f}", x, height(i));
  }
  return path + fmt::format("H{:.2f}", plot.x.to);
}

struct Mark {
  double x, y, label_y;
};

/// Labels stand above their points; from right to left each is lifted over the one after it.
std::vector<Mark> place_marks(const Plot& plot, const CertificationSummary& summary) {
  std::vector<Mark> marks;
  for (const auto& [radius, share] : summary.certified) {
    marks.push_back({plot.x(radius), plot.y(share), plot.y(share) - 9});
  }
  for (size_t i = marks.size(); i-- > 1;) {
    marks[i - 1].label_y = std::min(marks[i - 1].label_y, marks[i].label_y - kLabelHeight);
  }
  return marks;
}

std::string marks(const Plot& plot, const CertificationSummary& summary) {
  const std::vector<Mark> placed = place_marks(plot, summary);
  const bool labelled = placed.size() <= kMostLabels && !placed.empty() && placed.front().label_y > plot.y.to + 12;
  std::string out;
  for (size_t i = 0; i < placed.size(); ++i) {
    const auto& [radius_l2, share] = summary.certified[i];
    const Mark& at = placed[i];
    out += fmt::format("<line class=\"drop\" x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\"/>\n", at.x,
                       labelled ? at.label_y + 4 : at.y, plot.y.from);
    out += fmt::format("<circle class=\"mark\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"><title>{}: {}</title></circle>\n",
                       at.x, at.y, radius(radius_l2), percent(share));
    const bool at_right = at.x > plot.x.to - 120;
    if (labelled) {
      out += fmt::format("<text class=\"note\" x=\"{:.1f}\" y=\"{:.1f}\"{}>{}: <tspan>{}</tspan></text>\n",
                         at_right ? at.x - 6 : at.x + 6, at.label_y, at_right ? " text-anchor=\"end\"" : "",
                         short_radius(radius_l2), percent(share));
    }
  }
  return out;
}

}  // namespace

namespace {

/// Squares for certificates, triangles pointing down for what is only known from above.
std::string beside_marks(const Plot& plot, const CertificationReport& report) {
  std::string out;
  for (const Comparison& other : report.beside) {
    if (!other.samples_l2.empty()) {
      std::vector<double> radii;
      for (const double radius : other.samples_l2) {
        if (radius > 0) radii.push_back(radius);
      }
      std::ranges::sort(radii);
      out += fmt::format("<path class=\"{}\" d=\"{}\"/>\n", other.from_above ? "aboveline" : "otherline",
                         step_path(plot, radii, other.samples_l2.size()));
    }
    for (const auto& [radius_l2, share] : other.accuracy) {
      const double x = plot.x(radius_l2), y = plot.y(share);
      const std::string shape = other.from_above ? fmt::format("M{:.1f} {:.1f}h10l-5 8z", x - 5, y - 4)
                                                 : fmt::format("M{:.1f} {:.1f}h8v8h-8z", x - 4, y - 4);
      out += fmt::format("<path class=\"{}\" d=\"{}\"><title>{}, {}: {}</title></path>\n",
                         other.from_above ? "above" : "other", shape, escaped(other.name), radius(radius_l2),
                         percent(share));
    }
  }
  return out;
}

}  // namespace

std::string accuracy_curve(const CertificationReport& report, const CertificationSummary& summary) {
  const Plot plot = curve_plot(curve_limit(report));
  const std::string path = step_path(plot, correct_radii(report, &CertifiedSample::radius_l2), report.samples.size());
  std::string body = fmt::format("<path class=\"area\" d=\"{}V{:.1f}H{:.1f}Z\"/>\n", path, plot.y.from, plot.x.from);
  body += y_axis(
      plot, ticks(0, 1, 5), [](double value) { return percent(value, 0); }, "certified accuracy");
  body += radius_axis(plot) + radius_axis_255(plot);
  body += fmt::format("<path class=\"curve\" d=\"{}\"/>\n", path);
  if (report.executed) {
    const std::vector<double> executed = correct_radii(report, &CertifiedSample::executed_radius_l2);
    body += fmt::format("<path class=\"executed\" d=\"{}\"/>\n", step_path(plot, executed, report.samples.size()));
  }
  body += marks(plot, summary) + beside_marks(plot, report);
  return svg(plot, "Certified accuracy against radius", body);
}

}  // namespace gsnet::report
