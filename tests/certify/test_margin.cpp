// Certificates: ties, all classes, head geometry, rounding.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "certify/margin.h"
#include "core/error.h"
#include "support/op_cases.h"

namespace gsnet {
namespace {

std::unique_ptr<Graph> linear_classifier(Backend& backend, std::initializer_list<double> rows, int64_t classes) {
  const auto in = static_cast<int64_t>(rows.size()) / classes;
  auto graph = std::make_unique<Graph>(
      Description{{in}, {{"head", "linear", {}, {{"features", classes}, {"bias", false}}}}}, backend, RandomKey(1));
  *state_of(*graph)[0].tensor = backend.upload(Tensor::of<double>({classes, in}, rows));
  state_changed(*graph);
  return graph;
}

}  // namespace

TEST_CASE("a linear classifier's certificate is its distance to the nearest boundary", "[certify]") {
  const auto backend = make_backend({"reference", 1});
  const auto graph = linear_classifier(*backend, {1, 0, 0, 1, -1, -3}, 3);
  const MarginGeometry geometry(*graph);
  const std::vector<double> logits = {2, 1, -5};
  const Certificate certificate = certify(logits, geometry, input_scale(std::vector<double>{0.5, 0.25}));
  CHECK(certificate.predicted == 0);
  const double expected = std::min(1 / std::sqrt(2.0), 7 / std::sqrt(13.0)) * 0.25;
  CHECK(certificate.radius_l2 <= expected);
  CHECK(certificate.radius_l2 == Approx(expected).epsilon(1e-9));
  const double by_norm = 0.25 / std::sqrt(2 * 11.0);  // the largest singular value is sqrt(11)
  CHECK(certificate.root2_radius_l2 <= by_norm);
  CHECK(certificate.root2_radius_l2 == Approx(by_norm).epsilon(5e-3));
}

TEST_CASE("ties and logits that are not finite certify nothing", "[certify]") {
  const auto backend = make_backend({"reference", 1});
  const auto graph = linear_classifier(*backend, {1, 0, 0, 1, -1, -3}, 3);
  const MarginGeometry geometry(*graph);
  const UpperBound scale = UpperBound::proven(1);
  CHECK(certify(std::vector<double>{2, 2, 1}, geometry, scale).radius_l2 == 0);
  CHECK(certify(std::vector<double>{2, NAN, 1}, geometry, scale).radius_l2 == 0);
  CHECK(certify(std::vector<double>{INFINITY, 2, 1}, geometry, scale).radius_l2 == 0);
  CHECK(certify(std::vector<double>{1, std::nextafter(1.0, 2.0), 0}, geometry, scale).radius_l2 > 0);
  CHECK_THROWS_AS(certify(std::vector<double>{1, 2}, geometry, scale), Error);
}

TEST_CASE("the rival may be any class, not only the runner-up", "[certify]") {
  const auto backend = make_backend({"reference", 1});
  // Class 2 has the smaller logit, but its boundary is nearer: its row differs by far more.
  const auto graph = linear_classifier(*backend, {1, 0, 0.9, 0, -9, 0}, 3);
  const Certificate certificate =
      certify(std::vector<double>{1, 0.95, 0}, MarginGeometry(*graph), UpperBound::proven(1));
  CHECK(certificate.radius_l2 == Approx(std::min(0.05 / 0.1, 1.0 / 10)).epsilon(1e-9));
}

TEST_CASE("a layer without a bound is refused by name, and the smallest deviation counts", "[certify]") {
  CHECK(input_scale(std::vector<double>{0.5, 0.2, 0.4}).value() == Approx(5));
  CHECK(input_scale(std::vector<double>{0.5, 0.2, 0.4}).value() >= 5);
  CHECK_THROWS_AS(input_scale(std::vector<double>{0.5, 0}), Error);
  const auto backend = make_backend({"reference", 1});
  const auto graph = linear_classifier(*backend, {NAN, 0, 0, 1}, 2);
  CHECK_THROWS_WITH(MarginGeometry(*graph), Catch::Contains("head"));
}

}  // namespace gsnet
