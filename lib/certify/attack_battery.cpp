#include "certify/attack_battery.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "certify/attack_ball.h"
#include "certify/attack_loss.h"
#include "core/error.h"

namespace gsnet {
namespace {

bool in_box(std::span<const float> x) {
  return std::ranges::all_of(x, [](float pixel) { return pixel >= 0 && pixel <= 1; });
}

/// Gives how many are right; those that are not enter the report where they are nearer than what it has.
int64_t judge_pictures(AttackTarget& target, const Pixels& pictures, std::span<const int> labels,
                       std::span<const int64_t> places, const Pixels& found, int number, BatteryReport& report) {
  const Logits z = target.logits(found);
  int64_t right = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    const int64_t n = places[i], row = static_cast<int64_t>(i);
    AttackOutcome& outcome = report.outcomes[static_cast<size_t>(n)];
    if (attack_margin(z[row], labels[static_cast<size_t>(n)]) > 0) {
      ++right;
      continue;
    }
    if (!outcome.right || !in_box(found[row])) continue;
    const double distance = distance_l2(pictures[n], found[row]);
    if (!(distance < outcome.distance_l2)) continue;
    outcome.distance_l2 = distance;
    outcome.attack = number;
    outcome.taken_for = likeliest_rivals(z[row], labels[static_cast<size_t>(n)], 1)[0];
    std::ranges::copy(found[row], report.nearest[n].begin());
  }
  return right;
}

class Battery {
 public:
  Battery(AttackTarget& target, const Pixels& pictures, std::span<const int> labels, const BatterySpec& spec)
      : target_(target), pictures_(pictures), labels_(labels), spec_(spec) {
    check();
    report_.nearest = pictures;
    report_.runs.assign(spec.attacks.size(), 0);
    report_.clean_logits.size = target.classes();
    for_batches(everything(), [&](std::span<const int64_t> places, int64_t) {
      const Logits z = target_.logits(pictures_.at(places));
      report_.clean_logits.values.insert(report_.clean_logits.values.end(), z.values.begin(), z.values.end());
      for (size_t i = 0; i < places.size(); ++i) {
        const bool right = attack_margin(z[static_cast<int64_t>(i)], labels_[static_cast<size_t>(places[i])]) > 0;
        report_.outcomes.push_back({right, std::numeric_limits<double>::infinity()});
      }
    });
  }

  template <class Progress>
  void run(int number, double radius, const Progress& progress) {
    const Attack& attack = find_attack(spec_.attacks[static_cast<size_t>(number)]);
    AttackSpec spec = spec_.attack;
    spec.radius_l2 = radius;
    std::vector<int64_t> survivors = everything();
    std::erase_if(survivors, [&](int64_t n) {
      const AttackOutcome& outcome = report_.outcomes[static_cast<size_t>(n)];
      return !outcome.right || outcome.distance_l2 <= radius;
    });
    for_batches(survivors, [&](std::span<const int64_t> places, int64_t before) {
      if (progress) progress(attack.name, radius, before, static_cast<int64_t>(survivors.size()));
      AttackTask task{pictures_.at(places), {}, {}};
      for (int64_t n : places) {
        task.labels.push_back(labels_[static_cast<size_t>(n)]);
        task.keys.push_back(spec_.key.with(static_cast<uint64_t>(n)).with(static_cast<uint64_t>(number)));
      }
      const AttackFinds finds = attack.run(target_, task, spec);
      report_.runs[static_cast<size_t>(number)] += finds.runs;
      judge(number, places, finds.pictures);
    });
  }

  BatteryReport take() { return std::move(report_); }

 private:
  void check() const {
    GSNET_CHECK(pictures_.size == target_.picture().numel(),
                fmt::format("[attack] the model takes pictures of {} numbers, got {}", target_.picture().numel(),
                            pictures_.size));
    GSNET_CHECK(static_cast<int64_t>(labels_.size()) == pictures_.count(),
                fmt::format("[attack] {} pictures have {} labels", pictures_.count(), labels_.size()));
    for (int label : labels_)
      GSNET_CHECK(label >= 0 && label < target_.classes(),
                  fmt::format("[attack] label {} of {} classes", label, target_.classes()));
    GSNET_CHECK(in_box(pictures_.values), "[attack] a pixel is not in [0, 1]");
    GSNET_CHECK(spec_.batch >= 1 && spec_.attack.steps >= 1, "[attack] batch and steps must be at least 1");
    double before = 0;
    for (double radius : spec_.radii) {
      GSNET_CHECK(radius > before,
                  fmt::format("[attack] radii must ascend from above 0, {} follows {}", radius, before));
      before = radius;
    }
    for (const std::string& name : spec_.attacks) find_attack(name);
  }

  std::vector<int64_t> everything() const {
    std::vector<int64_t> all;
    for (int64_t n = 0; n < pictures_.count(); ++n) all.push_back(n);
    return all;
  }

  template <class Body>
  void for_batches(const std::vector<int64_t>& places, Body&& body) {
    const auto batch = static_cast<size_t>(spec_.batch);
    for (size_t first = 0; first < places.size(); first += batch) {
      body(std::span(places).subspan(first, std::min(batch, places.size() - first)), static_cast<int64_t>(first));
    }
  }

  void judge(int number, std::span<const int64_t> places, const Pixels& found) {
    judge_pictures(target_, pictures_, labels_, places, found, number, report_);
  }

  AttackTarget& target_;
  const Pixels& pictures_;
  std::span<const int> labels_;
  const BatterySpec& spec_;
  BatteryReport report_;
};

}  // namespace

int64_t BatteryReport::right() const { return std::ranges::count_if(outcomes, &AttackOutcome::right); }

int64_t BatteryReport::survivors(double radius_l2) const {
  return std::ranges::count_if(outcomes, [=](const AttackOutcome& o) { return o.right && o.distance_l2 > radius_l2; });
}

int64_t BatteryReport::broken_by(int attack, double radius_l2) const {
  return std::ranges::count_if(
      outcomes, [=](const AttackOutcome& o) { return o.right && o.attack == attack && o.distance_l2 <= radius_l2; });
}

BatteryReport run_battery(AttackTarget& target, const Pixels& pictures, std::span<const int> labels,
                          const BatterySpec& spec,
                          const std::function<void(const std::string&, double, int64_t, int64_t)>& progress) {
  Battery battery(target, pictures, labels, spec);
  for (double radius : spec.radii) {
    for (int number = 0; number < static_cast<int>(spec.attacks.size()); ++number)
      battery.run(number, radius, progress);
  }
  return battery.take();
}

int64_t judge_given(AttackTarget& target, const Pixels& pictures, std::span<const int> labels, const Pixels& given,
                    int number, int64_t batch, BatteryReport& report) {
  GSNET_CHECK(given.size == pictures.size && given.count() == pictures.count(),
              fmt::format("[attack] {} pictures of {} numbers stand for {} of {}", given.count(), given.size,
                          pictures.count(), pictures.size));
  int64_t right = 0;
  for (int64_t first = 0; first < given.count(); first += batch) {
    std::vector<int64_t> places(static_cast<size_t>(std::min(batch, given.count() - first)));
    std::iota(places.begin(), places.end(), first);
    right += judge_pictures(target, pictures, labels, places, given.at(places), number, report);
  }
  return right;
}

std::vector<int64_t> broken_certificates(const BatteryReport& report, std::span<const double> certified_l2) {
  GSNET_CHECK(certified_l2.size() == report.outcomes.size(),
              fmt::format("[attack] {} certificates for {} pictures", certified_l2.size(), report.outcomes.size()));
  std::vector<int64_t> broken;
  for (size_t n = 0; n < certified_l2.size(); ++n) {
    const AttackOutcome& outcome = report.outcomes[n];
    if (outcome.right && certified_l2[n] > 0 && outcome.distance_l2 <= certified_l2[n])
      broken.push_back(static_cast<int64_t>(n));
  }
  return broken;
}

}  // namespace gsnet
