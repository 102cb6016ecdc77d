#include "faces/certificate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"

namespace gsnet {
namespace {

constexpr double kAngleSlack = 1e-13;  // absolute error of the angles, radians, with room
constexpr double kDown = 1 - 1e-12;    // relative error of the rest, with room

double norm(std::span<const double> a) {
  double sum = 0;
  for (const double value : a) sum += value * value;
  return std::sqrt(sum);
}

}  // namespace

double angle_between(std::span<const double> a, std::span<const double> b) {
  const double na = norm(a), nb = norm(b);
  GSNET_CHECK(a.size() == b.size() && std::isfinite(na) && std::isfinite(nb) && na > 0 && nb > 0,
              fmt::format("[angle] needs two vectors of one size with a direction, got {} of norm {} and {} of norm {}",
                          a.size(), na, b.size(), nb));
  double apart = 0, together = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = a[i] / na, y = b[i] / nb;
    apart += (x - y) * (x - y);
    together += (x + y) * (x + y);
  }
  return 2 * std::atan2(std::sqrt(apart), std::sqrt(together));
}

VerificationCertificate certify_verification(const VerificationDecision& decision, UpperBound lipschitz) {
  GSNET_CHECK(decision.threshold > -1 && decision.threshold < 1,
              fmt::format("[certify] the threshold of a cosine must be inside (-1, 1), got {}", decision.threshold));
  const double least = std::min(decision.first_norm, decision.second_norm);
  const double distance = std::abs(decision.angle - std::acos(decision.threshold)) - kAngleSlack;
  const double bound = lipschitz.value();
  if (!(distance > 0) || !(least > 0) || !std::isfinite(least) || !(bound < INFINITY)) return {};
  const auto radius = [&](double angle) {
    return std::nextafter(least * kDown * std::sin(std::min(angle, std::numbers::pi / 2)) / bound, 0.0);
  };
  return {radius(distance), radius(distance / 2)};
}

}  // namespace gsnet
