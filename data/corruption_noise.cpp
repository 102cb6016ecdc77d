// Corruptions of each number by itself.
#include <algorithm>
#include <array>
#include <cmath>

#include "data/corruption_kinds.h"

namespace gsnet::data {
namespace {

/// Draws from Poisson distributions of mean white b / 255, b = 0 … 255, by their distribution functions.
class PoissonTables {
 public:
  explicit PoissonTables(double white) : white_(white) {}

  int draw(size_t b, double uniform) {
    std::vector<double>& table = tables_[b];
    if (table.empty()) fill(table, white_ * static_cast<double>(b) / 255);
    return static_cast<int>(std::ranges::upper_bound(table, uniform) - table.begin());
  }

 private:
  /// P(draw <= k) until what is left is lost in rounding.
  static void fill(std::vector<double>& table, double mean) {
    double probability = std::exp(-mean), sum = probability;
    for (int k = 1; k < mean || probability > 1e-18; ++k) {
      table.push_back(sum);
      probability *= mean / k;
      sum += probability;
    }
    table.push_back(sum);
  }

  double white_;
  std::array<std::vector<double>, 256> tables_;
};

}  // namespace

void gaussian_noise(Pixels& picture, size_t severity, Random& random) {
  constexpr std::array kDeviation = {0.04, 0.06, 0.08, 0.09, 0.10};
  for (float& v : picture.values) v += static_cast<float>(kDeviation[severity] * random.normal());
}

void shot_noise(Pixels& picture, size_t severity, Random& random) {
  constexpr std::array kWhite = {500, 250, 100, 75, 50};
  PoissonTables tables(kWhite[severity]);
  for (float& v : picture.values) {
    const auto b = static_cast<size_t>(std::lround(std::clamp(v, 0.0F, 1.0F) * 255));
    v = static_cast<float>(tables.draw(b, random.uniform())) / static_cast<float>(kWhite[severity]);
  }
}

void impulse_noise(Pixels& picture, size_t severity, Random& random) {
  constexpr std::array kShare = {0.01, 0.02, 0.03, 0.05, 0.07};
  for (float& v : picture.values) {
    const double struck = random.uniform(), white = random.uniform();
    if (struck < kShare[severity]) v = white < 0.5 ? 0.0F : 1.0F;
  }
}

}  // namespace gsnet::data
