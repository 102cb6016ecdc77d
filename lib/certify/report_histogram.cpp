#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "certify/report_chart.h"
#include "certify/report_text.h"

namespace gsnet::report {
namespace {

constexpr int kBins = 48;

struct Histogram {
  double width = 1;
  std::vector<int64_t> correct, wrong;
};

Histogram histogram_of(const CertificationReport& report, double limit) {
  Histogram bins;
  bins.width = nice_step(limit / kBins);
  const auto size = static_cast<size_t>(std::ceil(limit / bins.width - 1e-9));
  bins.correct.resize(size);
  bins.wrong.resize(size);
  for (const CertifiedSample& sample : report.samples) {
    const size_t at = std::min(static_cast<size_t>(sample.radius_l2 / bins.width), size - 1);
    ++(is_correct(sample) ? bins.correct : bins.wrong)[at];
  }
  return bins;
}

Plot histogram_plot(double limit, const Histogram& bins) {
  const auto up = static_cast<double>(std::ranges::max(bins.correct));
  const auto down = static_cast<double>(std::ranges::max(bins.wrong));
  const double room = std::max(1.0, up + down) * 0.04;
  return {{0, limit, 66, 704}, {down > 0 ? -down - room : 0, std::max(1.0, up + room), 250, 12}, 720, 306};
}

/// Whole counts only, the same step above and below.
std::vector<double> count_ticks(const Plot& plot) {
  const double step = std::max(1.0, nice_step((plot.y.high - plot.y.low) / 6));
  std::vector<double> values;
  for (double k = std::ceil(plot.y.low / step); k * step <= plot.y.high; ++k) values.push_back(k * step + 0.0);
  return values;
}

std::string bars(const Plot& plot, double width, const std::vector<int64_t>& counts, bool correct) {
  std::string out;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    const double left = static_cast<double>(i) * width;
    const auto value = static_cast<double>(counts[i]);
    const double top = correct ? plot.y(value) : plot.y(0);
    const double x = plot.x(left), right = plot.x(std::min(left + width, plot.x.high));
    out += fmt::format("<rect class=\"{}\" x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\">",
                       correct ? "correct" : "wrong", x, top, std::max(right - x - 1, 0.5),
                       std::abs(plot.y(value) - plot.y(0)));
    out += fmt::format("<title>{:.4g} to {:.4g}: {} {}</title></rect>\n", left, left + width, count(counts[i]),
                       correct ? "correct" : "wrong");
  }
  return out;
}

}  // namespace

std::string radius_histogram(const CertificationReport& report) {
  const double limit = radius_limit(report);
  const Histogram bins = histogram_of(report, limit);
  const Plot plot = histogram_plot(limit, bins);
  const auto label = [](double value) { return count(static_cast<int64_t>(std::abs(value))); };
  std::string body = y_axis(plot, count_ticks(plot), label, "pictures") + radius_axis(plot);
  body += bars(plot, bins.width, bins.correct, true) + bars(plot, bins.width, bins.wrong, false);
  return svg(plot, "Histogram of certified radii", body);
}

}  // namespace gsnet::report
