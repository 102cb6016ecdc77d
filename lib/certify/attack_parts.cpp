#include "certify/attack_parts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace gsnet {
namespace {

/// Relative to the largest logit: more than what another order of sums changes in f32.
constexpr double kClearly = 1e-5;

}  // namespace

Candidates::Candidates(const AttackTask& task)
    : labels_(task.labels),
      pictures_(task.clean),
      margin_(task.labels.size(), std::numeric_limits<double>::infinity()),
      broken_(task.labels.size(), 0) {}

void Candidates::offer(int64_t n, std::span<const float> x, std::span<const double> z) {
  const auto at = static_cast<size_t>(n);
  const double margin = attack_margin(z, labels_[at]);
  if (!(margin < margin_[at])) return;
  margin_[at] = margin;
  std::ranges::copy(x, pictures_[n].begin());
  double largest = 0;
  for (double value : z) largest = std::max(largest, std::fabs(value));
  broken_[at] = margin < -kClearly * largest || !std::isfinite(margin) ? 1 : 0;
}

std::vector<int64_t> Candidates::open() const {
  std::vector<int64_t> all(labels_.size());
  std::iota(all.begin(), all.end(), int64_t{0});
  return open(all);
}

std::vector<int64_t> Candidates::open(std::span<const int64_t> of) const {
  std::vector<int64_t> left;
  std::ranges::copy_if(of, std::back_inserter(left), [this](int64_t n) { return !broken_[static_cast<size_t>(n)]; });
  return left;
}

LossPass loss_pass(AttackTarget& target, const Pixels& x, AttackLoss loss, std::span<const int64_t> places,
                   std::span<const int> labels, std::span<const int> targets) {
  LossPass made;
  auto pass = target.pass(x, [&](const Logits& z, Logits& dz) {
    for (int64_t i = 0; i < z.count(); ++i) {
      const auto at = static_cast<size_t>(places[static_cast<size_t>(i)]);
      const std::span<double> row = dz[i];
      made.loss.push_back(attack_loss(loss, z[i], labels[at], targets.empty() ? 0 : targets[at], row));
      double largest = 0;
      for (double d : row) largest = std::max(largest, std::fabs(d));
      for (double& d : row) d = largest > 0 && std::isfinite(largest) ? d / largest : 0;
    }
  });
  made.logits = std::move(pass.logits);
  made.gradient = std::move(pass.gradient);
  return made;
}

std::vector<std::vector<int>> attack_targets(AttackTarget& target, const AttackTask& task, int count) {
  const Logits z = target.logits(task.clean);
  std::vector<std::vector<int>> rivals;
  for (int64_t n = 0; n < task.count(); ++n) {
    rivals.push_back(likeliest_rivals(z[n], task.labels[static_cast<size_t>(n)], count));
  }
  return rivals;
}

}  // namespace gsnet
