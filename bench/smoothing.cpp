// Randomised smoothing of a linear classifier, whose radius is known: the distance to its boundary.
//
//   gsnet_bench_smoothing
//
// One row a number of samples: certified radii of 60 random pictures beside their distances, the largest radius that
// so many samples can prove, and how many certificates are too large, of which alpha = 0.001 allows a share. Fails
// where there are more than that by any chance.
#include <fmt/format.h>

#include <cmath>
#include <exception>

#include "certify/smoothing.h"
#include "certify/smoothing_bounds.h"
#include "core/random.h"

namespace {

using namespace gsnet;

constexpr int64_t kFeatures = 27, kPictures = 60;
constexpr double kAlpha = 0.001, kSigma = 0.25;

/// Two classes, +w and -w, of one byte a feature.
struct Linear {
  std::vector<double> w;
  std::vector<std::vector<uint8_t>> pictures;
  Model model;

  explicit Linear(Backend& backend) {
    Random random(RandomKey(1));
    for (int64_t i = 0; i < kFeatures; ++i) w.push_back(static_cast<double>(static_cast<float>(random.normal())));
    for (int64_t n = 0; n < kPictures; ++n) {
      pictures.emplace_back();
      for (int64_t i = 0; i < kFeatures; ++i) pictures.back().push_back(static_cast<uint8_t>(random.below(256)));
    }
    std::vector<double> rows = w;
    for (const double value : w) rows.push_back(-value);
    const Description net{{kFeatures}, {{"head", "linear", {}, {{"features", int64_t{2}}, {"bias", false}}}}};
    model.info = {net, std::vector<double>(kFeatures, 0.5), std::vector<double>(kFeatures, 0.25), {"+", "-"}, {}};
    model.graph = std::make_unique<Graph>(net, backend, RandomKey(1));
    *state_of(*model.graph)[0].tensor =
        backend.upload(Tensor::of<double>({2, kFeatures}, std::span<const double>(rows)));
    state_changed(*model.graph);
  }

  /// Of the picture to the boundary, pixels in [0, 1]; negative on the side of the second class.
  double distance(size_t n) const {
    double gap = 0, norm = 0;
    for (size_t i = 0; i < w.size(); ++i) {
      gap += w[i] * (pictures[n][i] / 255.0 - 0.5);
      norm += w[i] * w[i];
    }
    return gap / std::sqrt(norm);
  }
};

/// Gives how many certificates are too large.
int row(const Linear& linear, int64_t samples) {
  const PictureSource source{kPictures, [&](int64_t n, std::span<uint8_t> pixels) {
                               std::ranges::copy(linear.pictures[static_cast<size_t>(n)], pixels.begin());
                             }};
  const double most = kSigma * normal_quantile_lower_bound(proportion_lower_bound(samples, samples, kAlpha));
  const auto found =
      smooth(linear.model, source, {.sigma = kSigma, .estimation = samples, .alpha = kAlpha, .batch = 4096});
  int abstained = 0, wrong = 0, compared = 0;
  double ratio = 0;
  for (size_t n = 0; n < found.size(); ++n) {
    const double distance = linear.distance(n);
    if (found[n].predicted == kAbstained) {
      ++abstained;
      continue;
    }
    wrong += found[n].predicted != (distance > 0 ? 0 : 1) || found[n].radius_l2 > std::fabs(distance) ? 1 : 0;
    if (std::fabs(distance) < 0.1 || std::fabs(distance) > 0.8 * most) continue;
    ratio += found[n].radius_l2 / std::fabs(distance);
    ++compared;
  }
  fmt::print("| {} | {:.3f} | {} | {:.3f} | {} | {} |\n", samples, most, compared, ratio / std::max(1, compared),
             abstained, wrong);
  return wrong;
}

}  // namespace

int main() {
  try {
    const auto backend = make_backend({"cpu", 0});
    const Linear linear(*backend);
    fmt::print(
        "| samples | largest radius that can be proven | pictures between 0.1 and 0.8 of that | radius / distance | "
        "abstentions | too large |\n|---|---|---|---|---|---|\n");
    int wrong = 0;
    for (const int64_t samples : {1'000, 10'000, 100'000}) wrong += row(linear, samples);
    return wrong <= 4 ? 0 : 1;  // 180 at 0.001: more than 4 with probability 1e-6
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
