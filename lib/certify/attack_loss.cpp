#include "certify/attack_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace gsnet {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double cross_entropy(std::span<const double> z, int label, std::span<double> dz) {
  const double largest = std::ranges::max(z), own = z[static_cast<size_t>(label)];
  double sum = 0, others = 0;
  for (size_t k = 0; k < z.size(); ++k) {
    dz[k] = std::exp(z[k] - largest);
    sum += dz[k];
    if (static_cast<int>(k) != label) others += dz[k];
  }
  for (double& p : dz) p /= sum;
  dz[static_cast<size_t>(label)] = -others / sum;  // p - 1 without cancellation
  return std::log(sum) + largest - own;
}

double difference(std::span<const double> z, int label, int target, std::span<double> dz) {
  std::ranges::fill(dz, 0.0);
  dz[static_cast<size_t>(target)] += 1;
  dz[static_cast<size_t>(label)] -= 1;
  return z[static_cast<size_t>(target)] - z[static_cast<size_t>(label)];
}

double difference_ratio(std::span<const double> z, int label, int target, std::span<double> dz) {
  if (z.size() < 4) return difference(z, label, target, dz);
  std::vector<size_t> order(z.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::partial_sort(order, order.begin() + 4, [&](size_t i, size_t j) { return z[i] > z[j]; });
  const double spread = z[order[0]] - (z[order[2]] + z[order[3]]) / 2;
  const double value = difference(z, label, target, dz);
  if (!(spread > 1e-12)) return value;
  for (double& d : dz) d /= spread;
  const double slope = -value / (spread * spread);
  dz[order[0]] += slope;
  dz[order[2]] -= slope / 2;
  dz[order[3]] -= slope / 2;
  return value / spread;
}

}  // namespace

double attack_margin(std::span<const double> z, int label) {
  double rival = -kInfinity;
  for (size_t k = 0; k < z.size(); ++k) {
    if (!std::isfinite(z[k])) return -kInfinity;
    if (static_cast<int>(k) != label) rival = std::max(rival, z[k]);
  }
  return z[static_cast<size_t>(label)] - rival;
}

std::vector<int> likeliest_rivals(std::span<const double> z, int label, int count) {
  std::vector<int> rivals;
  for (int k = 0; k < static_cast<int>(z.size()); ++k) {
    if (k != label) rivals.push_back(k);
  }
  const auto logit = [&](int k) { return z[static_cast<size_t>(k)]; };
  std::ranges::stable_sort(rivals, [&](int i, int j) { return logit(i) > logit(j); });
  rivals.resize(std::min(rivals.size(), static_cast<size_t>(std::max(count, 0))));
  return rivals;
}

double attack_loss(AttackLoss loss, std::span<const double> z, int label, int target, std::span<double> dz) {
  switch (loss) {
    case AttackLoss::cross_entropy:
      return cross_entropy(z, label, dz);
    case AttackLoss::margin:
      return difference(z, label, likeliest_rivals(z, label, 1)[0], dz);
    case AttackLoss::targeted_margin:
      return difference(z, label, target, dz);
    case AttackLoss::targeted_dlr:
      return difference_ratio(z, label, target, dz);
  }
  return 0;
}

}  // namespace gsnet
