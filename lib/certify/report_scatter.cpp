#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "certify/report_chart.h"
#include "certify/report_text.h"
#include "core/error.h"

namespace gsnet::report {
namespace {

struct Point {
  double certified, found;
};

std::vector<Point> broken_points(const CertificationReport& report, const Comparison& attacks) {
  std::vector<Point> points;
  for (size_t i = 0; i < attacks.samples_l2.size(); ++i) {
    const double found = attacks.samples_l2[i];
    if (is_correct(report.samples[i]) && found > 0 && std::isfinite(found))
      points.push_back({refutable_l2(report, report.samples[i]), found});
  }
  return points;
}

std::string radius_label(double value) { return fmt::format("{:.4g}", value); }

}  // namespace

std::string tightness_scatter(const CertificationReport& report, const Comparison& attacks) {
  if (attacks.samples_l2.empty()) return "";
  GSNET_CHECK(attacks.samples_l2.size() == report.samples.size(),
              fmt::format("[report] {} tells of {} pictures, there are {}", attacks.name, attacks.samples_l2.size(),
                          report.samples.size()));
  const std::vector<Point> points = broken_points(report, attacks);
  if (points.empty()) return "";
  double right = 0, top = 0;
  for (const Point& point : points) {
    right = std::max(right, point.certified);
    top = std::max(top, point.found);
  }
  right = std::max(right, 1e-3 * top);
  const Plot plot = {{0, 1.03 * right, 66, 704}, {0, 1.03 * std::max(top, right), 334, 12}, 720, 390};
  std::string body = y_axis(plot, ticks(0, plot.y.high, 6), radius_label, "smallest change found, L2");
  body += radius_axis(plot);
  body += fmt::format("<line class=\"truth\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", plot.x(0),
                      plot.y(0), plot.x(plot.x.high), plot.y(plot.x.high));
  for (const Point& point : points) {
    body += fmt::format("<circle class=\"point\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\"/>\n", plot.x(point.certified),
                        plot.y(point.found));
  }
  return svg(plot, "Smallest change found against certified radius", body);
}

}  // namespace gsnet::report
