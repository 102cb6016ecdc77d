// Batches, decoded and augmented in worker threads. What comes, and in which order, depends on the seed and the epoch
// only: not on the number of threads, nor on when a run was interrupted.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "data/dataset.h"

namespace gsnet::data {

/// Input normalisation: x = (pixel / 255 - mean[c]) / stddev[c]. One entry a channel.
struct Normalisation {
  std::vector<double> mean;
  std::vector<double> stddev;  ///< each > 0

  bool operator==(const Normalisation&) const = default;
};

/// What is done to a training picture. Nothing, by default.
struct Augmentation {
  int crop_padding = 0;  ///< pad by this many zero pixels on each side, then crop at random
  bool flip = false;     ///< mirror left-right with probability 1/2

  bool operator==(const Augmentation&) const = default;
};

struct Batch {
  Tensor images;                 ///< (N, C, H, W) f32, channels-last, normalised
  Tensor labels;                 ///< (N) i32
  std::vector<int64_t> indices;  ///< which pictures of the data set these are
};

struct LoaderSpec {
  int64_t batch = 128;
  Normalisation normalisation;
  Augmentation augmentation;
  bool shuffle = false;
  bool drop_last = false;  ///< leave out a last batch that is not full
  uint64_t seed = 0;
  int threads = 1;   ///< workers, >= 1
  int prefetch = 4;  ///< batches made ahead, >= 1
};

class Loader {
 public:
  /// Throws Error for an empty data set, a normalisation of another number of channels, or drop_last without a full
  /// batch. Epoch 0 begins when next() comes before start_epoch().
  Loader(std::shared_ptr<const Dataset> dataset, LoaderSpec spec);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  int64_t batches_per_epoch() const;
  /// Begins an epoch at its `first` batch; what was under way is dropped.
  void start_epoch(int64_t epoch, int64_t first = 0);
  /// The next batch of the epoch; nothing after the last. An Error of a worker (an unreadable picture) is thrown here,
  /// in the place of its batch; the call after that gives the batch that follows. One thread at a time.
  std::optional<Batch> next();

 private:
  class Workers;
  std::unique_ptr<Workers> workers_;
};

/// Normalises pictures (H, W, C bytes) [first, first + count) of a set, without augmentation: (count, C, H, W) f32.
Batch read_batch(const Dataset& dataset, int64_t first, int64_t count, const Normalisation& normalisation);

}  // namespace gsnet::data
