// A training step of a known network under every adapter, in turns.
#pragma once

#include <string>
#include <vector>

#include "backend/backend.h"
#include "layers/description.h"

namespace gsnet::apps {

struct AdapterBenchSpec {
  std::string network = "resnet20";  ///< of layers/architectures.h
  /// "full", a kind of adapter, one with settings as "oft:block=8,form=channel", or a recipe, FILE.toml, for its
  /// [adapter].
  std::vector<std::string> kinds;
  int64_t batch = 64;
  int rounds = 5;
  bool json = false;
};

/// Prints seconds a step (the least of several rounds in turns), trained numbers, free ones, peak memory.
int bench_adapters(Backend& backend, const AdapterBenchSpec& spec);

}  // namespace gsnet::apps
