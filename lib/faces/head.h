// Heads of face networks: class centres, and a softmax over the angles to them with a margin on the true one. They are
// trained with the network and then thrown away; embeddings are what is kept.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/random.h"
#include "train/objective.h"

namespace gsnet {

/// Margins by the quality of a picture, told by the norm of its embedding (Kim et al., "AdaFace", CVPR 2022): with
/// z = clip((|x| - mean) / (stddev + 1e-3) * concentration, -1, 1) the angle is raised by -margin z and the cosine
/// lowered by margin (1 + z). mean and stddev follow the norms of training batches; norms count within [0.001, 100].
struct AdaptiveMargin {
  double margin = 0.4;
  double concentration = 0.333;
  double momentum = 0.01;  ///< share of a new batch in mean and stddev

  bool operator==(const AdaptiveMargin&) const = default;
};

enum class HeadGradient : uint8_t {
  exact,
  plain,  ///< as insightface: the margin passes no derivative, that of the true logit to its cosine is the scale
};

/// The true class's cosine cos(theta) becomes cos(multiply theta + angle) - cosine (backend/loss.h says where it ends);
/// with `adaptive`, these three are 1, 0, 0.
struct HeadSpec {
  double scale = 64;
  double multiply = 1, angle = 0.5, cosine = 0;  ///< m1, m2, m3 of insightface's combined margin
  bool easy_margin = false;                      ///< no margin where the angle is not below pi / 2
  std::optional<AdaptiveMargin> adaptive = {};
  HeadGradient gradient = HeadGradient::exact;
  /// Partial FC (An et al., CVPR 2022): a step sees the centres of the batch's classes and of others, drawn anew, up to
  /// this share of all. 1: all of them.
  double sample_rate = 1;
  uint64_t seed = 0;  ///< of the draws, which depend on it and on the step only

  /// Deng et al., CVPR 2019; Wang et al., CVPR 2018; Kim et al., CVPR 2022.
  static HeadSpec arcface(double margin = 0.5) { return {.angle = margin}; }
  static HeadSpec cosface(double margin = 0.4) { return {.angle = 0, .cosine = margin}; }
  static HeadSpec adaface(const AdaptiveMargin& margin = {}) { return {.angle = 0, .adaptive = margin}; }

  bool operator==(const HeadSpec&) const = default;
};

/// Trains embeddings (N, D) towards centres (K, D). Parameter head.weight (K, D), drawn from N(0, 0.01^2), of whose
/// rows only the direction matters; buffers head.step (1) i64, and head.norm_mean, head.norm_stddev (1), 20 and 100 at
/// first, where the margin is adaptive.
class FaceHead final : public Objective {
 public:
  /// Throws Error naming a setting that cannot be.
  FaceHead(Backend& backend, int64_t features, int64_t classes, const HeadSpec& spec, RandomKey key);

  /// Scores are cosines (N, K), or those to the centres drawn. Statistics and draws are those of a training step where
  /// the tape is in training; else nothing is drawn and nothing changes. Throws Error for a label outside [0, K).
  Value evaluate(Tape& tape, const Var& output, const Labels& labels) override;
  /// Where nothing is drawn and the margin is the same for all.
  bool recordable() const override { return !spec_.adaptive && spec_.sample_rate == 1; }
  void visit(Visitor& visitor) override;

  /// Centres in the place of those drawn: (K, D) on the host. Throws Error for another shape, and for a centre that is
  /// not finite or has the length 0.
  void set_centres(const Tensor& centres);
  /// Whether training moves the centres. To be called before a trainer is made.
  void train_centres(bool on) { weight_.trainable = on; }

  const HeadSpec& spec() const { return spec_; }
  Backend& backend() const { return backend_; }
  int64_t classes() const { return weight_.value.shape()[0]; }
  int64_t features() const { return weight_.value.shape()[1]; }

 private:
  /// Margins of every sample, on the machine: what the angle is raised and the cosine lowered by.
  struct Margins {
    Tensor raise, lower;
  };
  Margins adaptive_margins(const Tensor& embeddings, bool training);
  Margins fixed_margins(int64_t samples);
  void follow(const std::vector<double>& norms);
  double read(const Tensor& one) const;

  Backend& backend_;
  HeadSpec spec_;
  Parameter weight_;
  Tensor step_, norm_mean_, norm_stddev_;
  std::map<int64_t, Margins> fixed_;  // by the number of samples; recorded steps read them
};

/// The classes that a step of Partial FC sees, ascending: those of the labels, and others up to round(rate classes),
/// drawn without repetition from the key's stream.
std::vector<int32_t> draw_centres(std::span<const int32_t> labels, int64_t classes, double rate, RandomKey key);

}  // namespace gsnet
