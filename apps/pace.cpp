#include "apps/pace.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/console.h"
#include "core/error.h"
#include "io/model_file.h"

namespace gsnet::apps {
namespace {

constexpr double kReserve = 0.9;
constexpr int kWarm = 4;  // steps in which memory is asked for, plans are made, and a GPU records

/// Of a step, its batch's loading included.
double seconds_a_batch(Trainer& trainer, data::Loader& loader, double seconds) {
  const auto step = [&] {
    const auto batch = loader.next();
    if (batch) trainer.step(batch->images, batch->labels);
    return batch.has_value();
  };
  loader.start_epoch(0);
  const int64_t warm = std::min<int64_t>(kWarm, loader.batches_per_epoch() - 1);
  for (int64_t i = 0; i < warm; ++i) step();
  const Stopwatch watch;
  int64_t steps = 0;
  while (watch.seconds() < seconds && step()) ++steps;
  return watch.seconds() / static_cast<double>(std::max<int64_t>(1, steps));
}

}  // namespace

Pace measure_pace(Trainer& trainer, data::Loader& loader, double seconds, const std::function<void()>& validate) {
  const Stopwatch all;
  Backend& backend = trainer.graph().backend();
  io::TensorFile kept;
  io::store_tensors(trainer.state(), kept, "", true, backend);
  Pace pace;
  pace.batch = seconds_a_batch(trainer, loader, seconds);
  trainer.forget_recording();
  const Stopwatch watch;
  validate();
  pace.validation = watch.seconds();
  io::load_tensors(trainer.state(), kept, "", backend);
  trainer.state_assigned();
  pace.measuring = all.seconds();
  return pace;
}

int64_t epochs_within(double minutes, const Pace& pace, int64_t batches, int64_t most) {
  const double epoch = pace.batch * static_cast<double>(batches) + pace.validation;
  const double epochs = (kReserve * 60 * minutes - pace.measuring) / epoch;
  GSNET_CHECK(epochs >= 1,
              fmt::format("run.minutes = {:g}: one epoch takes {} here ({} batches of {:.3g} s, and {:.3g} s "
                          "of validation)",
                          minutes, clock_text(epoch), batches, pace.batch, pace.validation));
  return epochs < static_cast<double>(most) ? static_cast<int64_t>(epochs) : most;
}

}  // namespace gsnet::apps
