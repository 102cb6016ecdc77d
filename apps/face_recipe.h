// The [face] table of a recipe: embeddings are trained towards class centres, and judged by pairs of pictures.
#pragma once

#include <string>
#include <vector>

#include "faces/head.h"
#include "faces/teacher.h"

namespace gsnet::apps {

enum class FaceObjective : uint8_t {
  arcface,
  cosface,
  adaface,
  combined,
  teacher,  ///< the base's embedding of each clean picture, in the place of centres of people
};

enum class CentreStart : uint8_t {
  embeddings,  ///< the mean of the base's unit embeddings of a person's clean pictures, at unit length
  random,
};

/// What to do about people of the training data who are in the pairs too.
enum class KnownPeople : uint8_t {
  error,
  leave_out,  ///< of the training
  allow,
};

/// What is judged on the test folds in the end.
enum class FaceTest : uint8_t {
  both,  ///< the base, and what became of it
  tuned,
  none,
};

struct FaceRecipe {
  FaceObjective head = FaceObjective::arcface;
  double margin = 0.5;                        ///< of the angle (arcface), the cosine (cosface), both (adaface)
  std::vector<double> margins = {1, 0.5, 0};  ///< of the combined margin: m1, m2, m3
  double scale = 64;
  bool easy_margin = false;
  double concentration = 0.333, momentum = 0.01;  ///< of AdaFace
  HeadGradient gradient = HeadGradient::exact;
  double sample_rate = 1;
  CentreStart centres = CentreStart::embeddings;
  bool train_centres = true;
  TeacherDistance distance = TeacherDistance::cosine;

  std::string pairs;   ///< the list of pairs, or a verification pack (*.bin)
  std::string images;  ///< their pictures; empty: those of [data]
  std::string align;   ///< landmarks of all of these pictures (data/align.h); empty: they are aligned already
  std::string validation_folds = "1-3", test_folds = "4-10";
  double far = 1e-2;      ///< at which validation counts TAR, and chooses
  double keep_clean = 1;  ///< an epoch whose clean accuracy falls by more is not kept
  KnownPeople known_people = KnownPeople::error;
  FaceTest test = FaceTest::both;

  /// Whether the pairs are a pack, which holds their pictures too, aligned.
  bool pack() const { return pairs.ends_with(".bin"); }
};

/// The head's settings; the seed is that of Partial FC's draws. Throws Error for what cannot be. A teacher has none.
HeadSpec head_spec(const FaceRecipe& recipe, uint64_t seed);

}  // namespace gsnet::apps
