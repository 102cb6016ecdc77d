// A teacher in the place of class centres: every picture is trained towards the embedding that a network gave it
// before.
#pragma once

#include "train/objective.h"

namespace gsnet {

/// Of a unit embedding u and its unit target t.
enum class TeacherDistance : uint8_t {
  cosine,  ///< 1 - cos = |u - t|² / 2: the further, the harder it is pulled
  chord,   ///< sqrt(|u - t|² + 1e-8): near ones are held as hard as distant ones are pulled
};

/// Trains embeddings (N, D) towards the directions of targets (P, D), one a picture: the loss is the mean distance
/// between them. With targets of clean pictures and a network that sees them from afar, that is distillation of
/// features across resolutions (Ge et al., IEEE TIP 2019; Shin et al., ECCV 2022): it needs no identities, and a clean
/// picture costs nothing where the network has not moved. Nothing is trained but the network; targets are not in
/// checkpoints.
class TeacherHead final : public Objective {
 public:
  /// Throws Error unless the targets are a matrix on the host of finite rows, none of the length 0.
  TeacherHead(Backend& backend, const Tensor& targets, TeacherDistance distance = TeacherDistance::cosine);

  /// Labels are rows of the targets. Scores are cosines (N, N) to the targets of the batch, whose columns the labels of
  /// the value are. Throws Error for a label outside [0, P).
  Value evaluate(Tape& tape, const Var& output, const Labels& labels) override;
  bool recordable() const override { return true; }

  int64_t pictures() const { return targets_.shape()[0]; }
  int64_t features() const { return targets_.shape()[1]; }

 private:
  Tensor targets_, ones_, smallest_;  // on the machine
  TeacherDistance distance_;
};

}  // namespace gsnet
