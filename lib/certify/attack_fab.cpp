// FAB in L2, targeted.
#include <algorithm>
#include <cmath>
#include <limits>

#include "certify/attack_parts.h"

namespace gsnet {
namespace {

constexpr double kMostBias = 0.1;    // alpha_max: towards the clean picture
constexpr double kOvershoot = 1.05;  // eta
constexpr double kBackward = 0.9;    // beta
constexpr int kBisections = 10;

/// clean + t (x - clean).
void interpolate(std::span<const float> clean, std::span<const float> x, double t, std::span<float> to) {
  for (size_t i = 0; i < to.size(); ++i) {
    const auto c = static_cast<double>(clean[i]);
    to[i] = static_cast<float>(c + t * (static_cast<double>(x[i]) - c));
  }
}

double length_of(std::span<const double> d) {
  double sum = 0;
  for (double value : d) sum += value * value;
  return std::sqrt(sum);
}

/// The nearest misclassified picture of each.
struct Nearest {
  explicit Nearest(const AttackTask& task)
      : pictures(task.clean), distance(task.labels.size(), std::numeric_limits<double>::infinity()) {}

  Pixels pictures;
  std::vector<double> distance;

  void offer(int64_t n, std::span<const float> clean, std::span<const float> x) {
    const double d = distance_l2(clean, x);
    if (!(d < distance[static_cast<size_t>(n)])) return;
    distance[static_cast<size_t>(n)] = d;
    std::ranges::copy(x, pictures[n].begin());
  }
};

/// From x, at which the boundary was linearised as value + g (u - x), to a mixture of the projections of x and of the
/// clean picture onto it.
void step_to_boundary(std::span<const float> clean, std::span<const float> g, double value, std::span<float> x) {
  double value_at_clean = value;
  for (size_t i = 0; i < x.size(); ++i)
    value_at_clean += static_cast<double>(g[i]) * (static_cast<double>(clean[i]) - static_cast<double>(x[i]));
  const std::vector<double> own = step_to_plane(x, g, value), from_clean = step_to_plane(clean, g, value_at_clean);
  const double a = length_of(own), b = length_of(from_clean);
  const double bias = a + b > 0 ? std::min(kMostBias, a / (a + b)) : 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double moved = static_cast<double>(x[i]) + kOvershoot * own[i];
    const double biased = static_cast<double>(clean[i]) + kOvershoot * from_clean[i];
    x[i] = static_cast<float>(std::clamp((1 - bias) * moved + bias * biased, 0.0, 1.0));
  }
}

void run_target(AttackTarget& target, const AttackTask& task, int steps, const std::vector<int64_t>& open,
                const std::vector<int>& targets, Nearest& nearest) {
  Pixels x = task.clean;
  for (int step = 0; step <= steps; ++step) {
    const LossPass pass = loss_pass(target, x.at(open), AttackLoss::targeted_margin, open, task.labels, targets);
    for (size_t i = 0; i < open.size(); ++i) {
      const int64_t n = open[i], row = static_cast<int64_t>(i);
      double value = pass.loss[i];
      if (!(attack_margin(pass.logits[row], task.labels[static_cast<size_t>(n)]) > 0)) {
        nearest.offer(n, task.clean[n], x[n]);
        // Backward, with the plane that was linearised here: its value there is value + g (back - x).
        std::vector<float> back(x[n].size());
        interpolate(task.clean[n], x[n], kBackward, back);
        for (size_t k = 0; k < back.size(); ++k)
          value += static_cast<double>(pass.gradient[row][k]) *
                   (static_cast<double>(back[k]) - static_cast<double>(x[n][k]));
        std::ranges::copy(back, x[n].begin());
      }
      step_to_boundary(task.clean[n], pass.gradient[row], value, x[n]);
    }
  }
}

/// Halves the segment from the clean picture to what was found.
void bisect(AttackTarget& target, const AttackTask& task, Nearest& nearest) {
  std::vector<int64_t> found;
  for (int64_t n = 0; n < task.count(); ++n) {
    if (nearest.distance[static_cast<size_t>(n)] < std::numeric_limits<double>::infinity()) found.push_back(n);
  }
  const Pixels ends = nearest.pictures.at(found);
  Pixels middle = ends;
  std::vector<double> low(found.size(), 0.0), high(found.size(), 1.0);
  for (int round = 0; round < kBisections && !found.empty(); ++round) {
    for (size_t i = 0; i < found.size(); ++i) {
      const int64_t row = static_cast<int64_t>(i);
      interpolate(task.clean[found[i]], ends[row], (low[i] + high[i]) / 2, middle[row]);
    }
    const Logits z = target.logits(middle);
    for (size_t i = 0; i < found.size(); ++i) {
      const int64_t n = found[i], row = static_cast<int64_t>(i);
      const bool right = attack_margin(z[row], task.labels[static_cast<size_t>(n)]) > 0;
      (right ? low[i] : high[i]) = (low[i] + high[i]) / 2;
      if (!right) nearest.offer(n, task.clean[n], middle[row]);
    }
  }
}

}  // namespace

AttackFinds fab_attack(AttackTarget& target, const AttackTask& task, const AttackSpec& spec) {
  Nearest nearest(task);
  int64_t runs = 0;
  const std::vector<std::vector<int>> rivals = attack_targets(target, task, spec.targets);
  for (size_t rank = 0; !rivals.empty() && rank < rivals[0].size(); ++rank) {
    std::vector<int64_t> open;
    for (int64_t n = 0; n < task.count(); ++n) {
      if (nearest.distance[static_cast<size_t>(n)] > spec.radius_l2) open.push_back(n);
    }
    if (open.empty()) break;
    runs += static_cast<int64_t>(open.size());
    std::vector<int> targets(rivals.size());
    std::ranges::transform(rivals, targets.begin(), [&](const std::vector<int>& of_one) { return of_one[rank]; });
    run_target(target, task, spec.steps, open, targets, nearest);
  }
  bisect(target, task, nearest);
  return {std::move(nearest.pictures), runs};
}

}  // namespace gsnet
