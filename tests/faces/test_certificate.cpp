// The radius inside which a verification decision cannot change: attained by a linear map, respected by all moves.
#include "faces/certificate.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numbers>
#include <vector>

#include "core/error.h"
#include "core/random.h"

namespace gsnet {
namespace {

constexpr size_t kFeatures = 5;

std::vector<double> random_vector(Random& random) {
  std::vector<double> x(kFeatures);
  for (double& value : x) value = random.normal();
  return x;
}

double norm(const std::vector<double>& x) {
  double sum = 0;
  for (double value : x) sum += value * value;
  return std::sqrt(sum);
}

std::vector<double> moved(const std::vector<double>& x, const std::vector<double>& along, double length) {
  std::vector<double> y = x;
  for (size_t i = 0; i < y.size(); ++i) y[i] += along[i] * length / norm(along);
  return y;
}

}  // namespace

TEST_CASE("Angles are accurate where cosines are not", "[faces]") {
  const std::vector<double> x = {1, 0}, near = {1, 1e-9}, opposite = {-2, 0}, across = {0, 3};
  CHECK(angle_between(x, near) == Approx(1e-9).epsilon(1e-6));
  CHECK(angle_between(x, opposite) == Approx(std::numbers::pi));
  CHECK(angle_between(x, across) == Approx(std::numbers::pi / 2));
  CHECK(angle_between(x, x) == 0);
  CHECK_THROWS_AS(angle_between(x, std::vector<double>{0, 0}), Error);
}

TEST_CASE("The certificate in closed form", "[faces]") {
  // 60 degrees apart, threshold at 30 degrees: D = 30 degrees, sin D = 1/2.
  const double third = std::numbers::pi / 3, sixth = std::numbers::pi / 6;
  const auto made = certify_verification({third, std::cos(sixth), 4, 6}, UpperBound::proven(2));
  CHECK(made.one_l2 == Approx(1.0));
  CHECK(made.one_l2 < 1.0);
  CHECK(made.both_l2 == Approx(2 * std::sin(std::numbers::pi / 12)));
  // The decision turns where the embedding comes to lie at a right angle or more: no better than the norm over L.
  CHECK(certify_verification({3.1, std::cos(0.1), 4, 6}, UpperBound::proven(2)).one_l2 == Approx(2.0));
  CHECK(certify_verification({0.5, std::cos(0.5), 4, 6}, UpperBound::proven(2)).one_l2 == 0);
  CHECK(certify_verification({0.5, 0.1, 0, 6}, UpperBound::proven(2)).one_l2 == 0);
  CHECK_THROWS_AS(certify_verification({0.5, 1, 4, 6}, UpperBound::proven(2)), Error);
}

TEST_CASE("No move inside the certificate changes a decision; a little outside one does", "[faces]") {
  // The embedding is 2 x, so that L = 2 exactly.
  const UpperBound lipschitz = UpperBound::proven(2);
  Random random(RandomKey(3));
  for (int i = 0; i < 200; ++i) {
    const std::vector<double> x = random_vector(random), y = random_vector(random);
    const double threshold = random.uniform(-0.9, 0.9), angle = angle_between(x, y);
    const auto made = certify_verification({angle, threshold, 2 * norm(x), 2 * norm(y)}, lipschitz);
    const bool same = std::cos(angle) >= threshold;
    for (int move = 0; move < 20; ++move) {
      const auto mx = moved(x, random_vector(random), made.one_l2), my = moved(y, random_vector(random), made.one_l2);
      CHECK((std::cos(angle_between(mx, y)) >= threshold) == same);
      CHECK((std::cos(angle_between(x, my)) >= threshold) == same);
      const auto bx = moved(x, random_vector(random), made.both_l2), by = moved(y, random_vector(random), made.both_l2);
      CHECK((std::cos(angle_between(bx, by)) >= threshold) == same);
    }
    // The nearest change of the shorter one: to the cone of the threshold's angle around the other.
    const std::vector<double>&shorter = norm(x) < norm(y) ? x : y, &other = norm(x) < norm(y) ? y : x;
    const double distance = std::acos(threshold) - angle;
    if (std::abs(distance) > 1.5) continue;
    std::vector<double> sideways = shorter;  // in the plane of both, away from the other
    const double along = std::cos(angle) * norm(shorter) / norm(other);
    for (size_t c = 0; c < kFeatures; ++c) sideways[c] -= along * other[c];
    const double s = norm(shorter), turned = std::acos(threshold) + (distance > 0 ? 1e-6 : -1e-6);
    std::vector<double> target(kFeatures);
    for (size_t c = 0; c < kFeatures; ++c) {
      target[c] = s * std::cos(distance) *
                  (std::cos(turned) * other[c] / norm(other) + std::sin(turned) * sideways[c] / norm(sideways));
    }
    std::vector<double> step(kFeatures);
    for (size_t c = 0; c < kFeatures; ++c) step[c] = target[c] - shorter[c];
    CHECK(norm(step) <= made.one_l2 * (1 + 1e-4) + 1e-5);
    CHECK((std::cos(angle_between(target, other)) >= threshold) != same);
  }
}

}  // namespace gsnet
