#include "certify/report_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace gsnet::report {
namespace {

std::string text(double x, double y, std::string_view anchor, std::string_view content) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor, content);
}

std::string line(double x1, double y1, double x2, double y2, std::string_view style) {
  return fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", style, x1, y1,
                     x2, y2);
}

}  // namespace

double nice_step(double least) {
  const double power = std::pow(10, std::floor(std::log10(least)));
  for (const double factor : std::array{1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

std::vector<double> ticks(double low, double high, int about) {
  const double step = nice_step((high - low) / about);
  std::vector<double> values;
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + step * 1e-9; ++k) values.push_back(k * step + 0.0);
  return values;
}

std::string tick_label(double value, double step) {
  if (step < 1e-4 || std::abs(value) >= 1e6) return fmt::format("{:.3g}", value);
  return fmt::format("{:.{}f}", value, std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9))));
}

double axis_end(double largest) {
  if (!(largest > 1e-12)) return 1;
  largest = std::min(largest, 1e300);
  const double step = nice_step(largest / 20);
  return std::ceil(largest * (1 + 1e-9) / step) * step;
}

double radius_limit(const CertificationReport& report) {
  double largest = report.radii.empty() ? 0 : report.radii.back();
  for (const CertifiedSample& sample : report.samples) largest = std::max(largest, sample.radius_l2);
  return axis_end(largest);
}

std::string y_axis(const Plot& plot, const std::vector<double>& values, std::string (*label)(double),
                   std::string_view title) {
  std::string out;
  for (const double value : values) {
    const double y = plot.y(value);
    out += line(plot.x.from, y, plot.x.to, y, value == 0 ? "axis" : "grid");
    out += text(plot.x.from - 8, y + 4, "end", label(value));
  }
  return out + fmt::format(
                   "<text class=\"title upright\" x=\"14\" y=\"{0:.1f}\" text-anchor=\"middle\" "
                   "transform=\"rotate(-90 14 {0:.1f})\">{1}</text>\n",
                   (plot.y.from + plot.y.to) / 2, title);
}

std::string x_axis(const Plot& plot, const std::vector<double>& values, const std::vector<std::string>& labels,
                   std::string_view title) {
  std::string out = line(plot.x.from, plot.y.from, plot.x.to, plot.y.from, "axis");
  for (size_t i = 0; i < values.size(); ++i) {
    const double x = plot.x(values[i]);
    out += line(x, plot.y.from, x, plot.y.from + 5, "axis");
    out += text(x, plot.y.from + 22, "middle", labels[i]);
  }
  return out + fmt::format("<text class=\"title\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                           (plot.x.from + plot.x.to) / 2, plot.y.from + 46, title);
}

std::string radius_axis(const Plot& plot) {
  const std::vector<double> values = ticks(plot.x.low, plot.x.high, 8);
  const double step = values.size() > 1 ? values[1] - values[0] : 1;
  std::vector<std::string> labels;
  for (const double value : values) labels.push_back(tick_label(value, step));
  return x_axis(plot, values, labels, "radius, L2 norm of the change, pixels in [0, 1]");
}

std::string radius_axis_255(const Plot& plot) {
  const std::vector<double> values = ticks(plot.x.low, plot.x.high * 255, 7);
  const double step = values.size() > 1 ? values[1] - values[0] : 1;
  std::string out = line(plot.x.from, plot.y.to, plot.x.to, plot.y.to, "axis");
  for (const double value : values) {
    const double x = plot.x(value / 255);
    out += line(x, plot.y.to - 5, x, plot.y.to, "axis");
    if (value > 0) out += text(x, plot.y.to - 10, "middle", tick_label(value, step) + "/255");
  }
  return out;
}

std::string svg(const Plot& plot, std::string_view description, std::string_view body) {
  return fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n{}</svg>\n", plot.width,
                     plot.height, description, body);
}

}  // namespace gsnet::report
