// Small classifiers to attack.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "certify/attack.h"
#include "certify/attack_ball.h"
#include "certify/attack_loss.h"
#include "layers/lipconvnet.h"

namespace gsnet::test {

/// z = W (p - mean) / stddev of pictures (3, 4, 4), five classes. Its nearest boundaries are known in closed form.
struct LinearModel {
  static constexpr int64_t kSize = 48, kClasses = 5;

  explicit LinearModel(Backend& backend) {
    const Description net{
        {3, 4, 4}, {{"flat", "flatten", {}, {}}, {"head", "linear", {}, {{"features", kClasses}, {"bias", false}}}}};
    model.info = {net, {0.5, 0.48, 0.52}, {0.25, 0.2, 0.3}, {}, {}};
    model.graph = std::make_unique<Graph>(net, backend, RandomKey(1));
    Random random(RandomKey(2));
    Tensor host = Tensor::empty({kClasses, kSize}, DType::f64);
    for (double& value : host.host<double>()) value = static_cast<double>(static_cast<float>(random.normal()));
    w.assign(host.host<double>().begin(), host.host<double>().end());
    *state_of(*model.graph)[0].tensor = backend.upload(host);
    state_changed(*model.graph);
  }

  /// d z_k / d pixel i.
  double slope(int64_t k, size_t i) const { return w[static_cast<size_t>(k * kSize) + i] / model.info.stddev[i / 16]; }

  std::vector<double> logits(std::span<const float> p) const {
    std::vector<double> z(static_cast<size_t>(kClasses), 0.0);
    for (int64_t k = 0; k < kClasses; ++k) {
      for (size_t i = 0; i < p.size(); ++i)
        z[static_cast<size_t>(k)] += slope(k, i) * (static_cast<double>(p[i]) - model.info.mean[i / 16]);
    }
    return z;
  }

  /// From the picture to the nearest boundary of its class, without the box.
  double distance(std::span<const float> p, int label) const {
    const std::vector<double> z = logits(p);
    double least = std::numeric_limits<double>::infinity();
    for (int64_t k = 0; k < kClasses; ++k) {
      double norm = 0;
      for (size_t i = 0; i < p.size(); ++i) norm += std::pow(slope(k, i) - slope(label, i), 2);
      if (k != label) {
        const double margin = z[static_cast<size_t>(label)] - z[static_cast<size_t>(k)];
        least = std::min(least, margin / std::sqrt(norm));
      }
    }
    return least;
  }

  /// Pictures in the middle of the box with the classes that the model gives them, farther than 0.05 from a boundary.
  AttackTask task(int64_t count) const {
    AttackTask task;
    task.clean.size = kSize;
    for (uint64_t seed = 10; task.count() < count; ++seed) {
      Random random{RandomKey(seed)};
      std::vector<float> p(static_cast<size_t>(kSize));
      for (float& pixel : p) pixel = static_cast<float>(random.uniform(0.4, 0.6));
      const std::vector<double> z = logits(p);
      const int label = static_cast<int>(std::ranges::max_element(z) - z.begin());
      if (distance(p, label) < 0.05) continue;
      task.clean.values.insert(task.clean.values.end(), p.begin(), p.end());
      task.labels.push_back(label);
      task.keys.push_back(RandomKey(seed));
    }
    return task;
  }

  Model model;
  std::vector<double> w;
};

/// One picture of a task.
inline AttackTask one_of(const AttackTask& task, int64_t n) {
  const std::vector<int64_t> place = {n};
  return {task.clean.at(place), {task.labels[static_cast<size_t>(n)]}, {task.keys[static_cast<size_t>(n)]}};
}

/// An untrained LipConvNet-5 on (3, 32, 32): curved, with skew exponentials.
inline Model small_lipconvnet(Backend& backend) {
  const Description net = lipconvnet({{"width", int64_t{4}}, {"groups", int64_t{2}}}, {3, 32, 32}, 10);
  Model model;
  model.info = {net, {0.5, 0.5, 0.5}, {0.25, 0.2, 0.3}, {}, {}};
  model.graph = std::make_unique<Graph>(net, backend, RandomKey(3));
  return model;
}

/// A network with a sigmoid in it, of whose rounding errors there is no bound.
inline Model squashed_model(Backend& backend) {
  Model model;
  model.info = {{{3, 32, 32},
                 {{"mean", "pool", {}, {{"kernel", int64_t{8}}}},
                  {"squash", "sigmoid", {}, {}},
                  {"flat", "flatten", {}, {}},
                  {"classes", "linear", {}, {{"features", int64_t{10}}}}}},
                {0.5, 0.5, 0.5},
                {0.25, 0.2, 0.3},
                {},
                {}};
  model.graph = std::make_unique<Graph>(model.info.description, backend, RandomKey(3));
  return model;
}

/// Pixels that are multiples of 1/64, well inside the box.
inline Pixels random_pictures(int64_t count, int64_t size, uint64_t seed) {
  Random random{RandomKey(seed)};
  Pixels pictures(count, size);
  for (float& pixel : pictures.values) pixel = static_cast<float>(16 + random.below(33)) / 64;
  return pictures;
}

/// What the model itself says.
inline std::vector<int> predictions(AttackTarget& target, const Pixels& pictures) {
  const Logits z = target.logits(pictures);
  std::vector<int> labels;
  for (int64_t n = 0; n < z.count(); ++n)
    labels.push_back(static_cast<int>(std::ranges::max_element(z[n]) - z[n].begin()));
  return labels;
}

}  // namespace gsnet::test
