// How fast a training goes on this machine, to cut a run to the time it may take.
#pragma once

#include <cstdint>
#include <functional>

#include "data/loader.h"
#include "train/trainer.h"

namespace gsnet::apps {

/// In seconds of the clock.
struct Pace {
  double batch = 0;
  double validation = 0;
  double measuring = 0;  ///< what it took to find out
};

/// Trains for `seconds`, one epoch at most, and validates once. What the trainer's state() holds
/// is put back; the trainer itself has done steps and is to be made anew. Throws what a step throws.
Pace measure_pace(Trainer& trainer, data::Loader& loader, double seconds, const std::function<void()>& validate);

/// How many epochs, at most `most`, take `minutes` less a tenth for slower times and what measuring took. Throws
/// Error that says how long an epoch takes, when not even one fits.
int64_t epochs_within(double minutes, const Pace& pace, int64_t batches, int64_t most);

}  // namespace gsnet::apps
