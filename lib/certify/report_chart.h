// What every chart of the page shares: scales, ticks, a frame with axes, in hand-written SVG.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "certify/report.h"

namespace gsnet::report {

/// Numbers to picture units, linear. Written charts are 720 units wide and scaled by the page.
struct Scale {
  double low = 0, high = 1;  ///< numbers
  double from = 0, to = 1;   ///< picture units
  double operator()(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

/// The plotted rectangle.
struct Plot {
  Scale x, y;
  double width = 720, height = 400;
};

/// 1, 2 or 5 times a power of ten, not below `least`.
double nice_step(double least);

/// Multiples of nice_step((high - low) / about) within [low, high].
std::vector<double> ticks(double low, double high, int about);

/// A tick with as many decimals as the step needs.
std::string tick_label(double value, double step);

/// The end of an axis of radii that begins at 0 and must hold `largest`, up to 1e300.
double axis_end(double largest);

/// The largest radius on the charts' axes: every sample and every tabled radius lies inside.
double radius_limit(const CertificationReport& report);

/// Horizontal rules with labels at the left. `label` formats one value.
std::string y_axis(const Plot& plot, const std::vector<double>& values, std::string (*label)(double),
                   std::string_view title);

/// The axis at the bottom, a mark and a label a value.
std::string x_axis(const Plot& plot, const std::vector<double>& values, const std::vector<std::string>& labels,
                   std::string_view title);

/// The axis of radii at the bottom: L2 norm, pixels in [0, 1].
std::string radius_axis(const Plot& plot);

/// The same radii at the top, in 1/255.
std::string radius_axis_255(const Plot& plot);

/// The whole drawing with its description for readers that cannot see it.
std::string svg(const Plot& plot, std::string_view description, std::string_view body);

/// The certified accuracy over every radius, the tabled ones marked.
std::string accuracy_curve(const CertificationReport& report, const CertificationSummary& summary);

/// A point a picture that is right and that the attacks broke: certified radius, and the distance of what they found.
/// Empty when the comparison knows no pictures, or none was broken.
std::string tightness_scatter(const CertificationReport& report, const Comparison& attacks);

/// Certified radii: correct predictions upwards, wrong ones downwards.
std::string radius_histogram(const CertificationReport& report);

}  // namespace gsnet::report
