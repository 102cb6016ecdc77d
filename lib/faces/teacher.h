// A teacher in the place of class centres: every picture is trained towards the embedding that a network gave it
// before.
#pragma once

#include "train/objective.h"

namespace gsnet {

/// Trains embeddings (N, D) towards the directions of targets (P, D), one a picture: the loss is 1 - cos of the angle
/// between them. With targets of clean pictures and a network that sees them from afar, that is distillation of
/// features across resolutions (Ge et al., IEEE TIP 2019; Shin et al., ECCV 2022): it needs no identities, and a clean
/// picture costs nothing where the network has not moved. Nothing is trained but the network; targets are not in
/// checkpoints.
class TeacherHead final : public Objective {
 public:
  /// Throws Error unless the targets are a matrix on the host of finite rows, none of the length 0.
  TeacherHead(Backend& backend, const Tensor& targets);

  /// Labels are rows of the targets. Scores are cosines (N, N) to the targets of the batch, whose columns the labels of
  /// the value are. Throws Error for a label outside [0, P).
  Value evaluate(Tape& tape, const Var& output, const Tensor& labels) override;

  int64_t pictures() const { return targets_.shape()[0]; }
  int64_t features() const { return targets_.shape()[1]; }

 private:
  Tensor targets_;  // on the machine
};

}  // namespace gsnet
