// What a network needs beside its weights to be run anywhere.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "layers/graph.h"

namespace gsnet {

/// The order of the three channels of colour pictures as a network takes them.
enum class ChannelOrder : uint8_t { rgb, bgr };

struct ModelInfo {
  Description description;
  /// Input normalisation, one entry a channel as the network takes them: x = (pixel / 255 - mean) / stddev.
  std::vector<double> mean;
  std::vector<double> stddev;
  std::vector<std::string> class_names;
  /// Where it comes from, for people: recipe, seed, version, best epoch. No program reads it.
  std::map<std::string, std::string> provenance;
  ChannelOrder order = ChannelOrder::rgb;
};

/// A network with what it needs. Owns the graph; the machine is the caller's.
struct Model {
  ModelInfo info;
  std::unique_ptr<Graph> graph;
};

}  // namespace gsnet
