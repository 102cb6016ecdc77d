#include "certify/attack_ball.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gsnet {
namespace {

/// Below the radius by more than rounding to float moves a point, usually.
constexpr double kInside = 1 - 1e-6;
constexpr int kMostRounds = 100;

double squared_norm(std::span<const double> d) {
  double sum = 0;
  for (double value : d) sum += value * value;
  return sum;
}

/// The largest t <= most with |clip(clean + t d) - clean| <= radius, from below: with the coordinates that are clipped
/// at t held, the others may grow to `next`, where more are clipped.
double reach(std::span<const float> clean, std::span<const double> d, double radius, double most) {
  double t = std::min(most, radius / std::sqrt(squared_norm(d)));
  for (;;) {
    double held = 0, free = 0;
    for (size_t i = 0; i < d.size(); ++i) {
      const double c = static_cast<double>(clean[i]), v = c + t * d[i];
      if (v < 0 || v > 1) {
        held += v < 0 ? c * c : (1 - c) * (1 - c);
      } else {
        free += d[i] * d[i];
      }
    }
    if (free == 0) return t;
    const double next = std::min(most, std::sqrt(std::max(0.0, radius * radius - held) / free));
    if (!(next > t * (1 + 1e-9))) return t;
    t = next;
  }
}

void place(std::span<const float> clean, double radius, double most, std::span<float> x) {
  std::vector<double> d(x.size());
  for (size_t i = 0; i < d.size(); ++i) d[i] = static_cast<double>(x[i]) - static_cast<double>(clean[i]);
  const double length = std::sqrt(squared_norm(d));
  if (!(length > 0) || !std::isfinite(length)) {
    std::ranges::copy(clean, x.begin());
    return;
  }
  double t = reach(clean, d, radius * kInside, most);
  for (double slack = 1e-6;; slack = std::min(0.5, 8 * slack)) {
    for (size_t i = 0; i < d.size(); ++i) {
      x[i] = static_cast<float>(std::clamp(static_cast<double>(clean[i]) + t * d[i], 0.0, 1.0));
    }
    if (distance_l2(clean, x) <= radius) return;
    t *= 1 - slack;
  }
}

}  // namespace

double distance_l2(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += d * d;
  }
  return std::sqrt(sum);
}

void project_to_ball(std::span<const float> clean, double radius_l2, std::span<float> x) {
  place(clean, radius_l2, 1, x);
}

void stretch_to_ball(std::span<const float> clean, double radius_l2, std::span<float> x) {
  place(clean, radius_l2, std::numeric_limits<double>::infinity(), x);
}

void step_along(std::span<const float> g, double length, std::span<float> x) {
  double sum = 0;
  for (float value : g) sum += static_cast<double>(value) * static_cast<double>(value);
  if (!(sum > 0) || !std::isfinite(sum)) return;
  const double scale = length / std::sqrt(sum);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(static_cast<double>(x[i]) + scale * static_cast<double>(g[i]));
}

void random_start(std::span<const float> clean, double length, double radius_l2, Random& random, std::span<float> x) {
  std::vector<float> direction(x.size());
  for (float& value : direction) value = static_cast<float>(random.normal());
  std::ranges::copy(clean, x.begin());
  step_along(direction, length, x);
  project_to_ball(clean, radius_l2, x);
}

// Newton's method on |offset| - gain(t), gain concave and piecewise linear: from t = 0 it never overshoots and ends
// after finitely many steps, in practice after a few.
std::vector<double> step_to_plane(std::span<const float> from, std::span<const float> g, double offset) {
  const double sign = offset < 0 ? 1 : -1;
  std::vector<double> step(from.size(), 0.0);
  double t = 0;
  for (int round = 0; round < kMostRounds; ++round) {
    double missing = std::fabs(offset), slope = 0;
    for (size_t i = 0; i < step.size(); ++i) {
      const double start = static_cast<double>(from[i]), d = sign * static_cast<double>(g[i]), v = start + t * d;
      step[i] = std::clamp(v, 0.0, 1.0) - start;
      missing -= d * step[i];
      slope += (d > 0 ? v < 1 : v > 0) ? d * d : 0;
    }
    if (!(missing > 1e-12 * std::fabs(offset)) || !(slope > 0)) return step;
    const double next = t + missing / slope;
    if (!(next > t) || !std::isfinite(next)) return step;
    t = next;
  }
  return step;
}

}  // namespace gsnet
