// Noisy copies of pictures through a network, in full batches.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "certify/smoothing.h"
#include "certify/smoothing_noise.h"

namespace gsnet {

/// Runs samples of all pictures in order and tells which class the network finds in each.
class NoiseSampler {
 public:
  /// Throws Error for a model or a spec that cannot be. All three must outlive it.
  NoiseSampler(const Model& model, const PictureSource& pictures, const SmoothingSpec& spec);

  int64_t classes() const { return classes_; }
  /// Total variation between one noisy picture as drawn and as it should be.
  UpperBound error() const;

  /// Samples [first, first + count) of each picture for which `wanted` (asked again before every sample), in order.
  /// `vote(picture, found)` hears of each, one batch late: found is -1 where a logit is not finite.
  void run(int64_t first, int64_t count, const std::function<bool(int64_t)>& wanted,
           const std::function<void(int64_t, int)>& vote, const std::function<void()>& after_batch);

 private:
  struct Row {
    int64_t picture, sample;
    std::shared_ptr<const std::vector<uint8_t>> pixels;
  };
  struct Cursor {
    int64_t picture = 0, sample = 0;
    std::shared_ptr<const std::vector<uint8_t>> pixels;  // of the picture, once read
  };

  std::vector<Row> next_rows(Cursor& cursor, int64_t first, int64_t count,
                             const std::function<bool(int64_t)>& wanted) const;
  Tensor noisy(const std::vector<Row>& rows) const;

  const Model& model_;
  const PictureSource& pictures_;
  const SmoothingSpec& spec_;
  RoundedNormal noise_;
  int64_t classes_ = 0, numel_ = 0;
  std::vector<float> scale_, shift_;  // x = level scale + shift, one entry a channel
};

}  // namespace gsnet
