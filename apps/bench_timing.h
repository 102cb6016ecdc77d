// Timing of a call, and what the machine can do.
#pragma once

#include <algorithm>
#include <vector>

#include "apps/console.h"
#include "backend/backend.h"

namespace gsnet::apps {

/// Median seconds of one call, over at least `seconds` and five calls after two to warm up.
template <class Call>
double median_seconds(double seconds, Call&& call) {
  for (int i = 0; i < 2; ++i) call();
  std::vector<double> times;
  const Stopwatch total;
  while (times.size() < 5 || total.seconds() < seconds) {
    const Stopwatch one;
    call();
    times.push_back(one.seconds());
  }
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

/// The same of work on a machine: on a device several calls are under way before they are waited for, so that their
/// launches and the wait are not what is timed.
template <class Call>
double median_seconds_of_work(Backend& machine, double seconds, Call&& call) {
  const int calls = machine.device().kind == DeviceKind::cuda ? 8 : 1;
  return median_seconds(seconds,
                        [&] {
                          for (int i = 0; i < calls; ++i) call();
                          machine.synchronise();
                        }) /
         calls;
}

/// Random pictures (N, C, H, W) channels-last and labels (N) i32.
struct BenchInputs {
  Tensor images, labels;
};
BenchInputs random_inputs(int64_t batch, const Shape& input, int64_t classes);

/// Multiply-adds a second of a large matrix product.
double matmul_rate(Backend& backend, double seconds = 0.5);

}  // namespace gsnet::apps
