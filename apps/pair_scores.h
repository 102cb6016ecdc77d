// Pairs of pictures scored by a network's embeddings.
#pragma once

#include <string>
#include <vector>

#include "apps/embed.h"
#include "apps/verify_report.h"
#include "data/verification.h"

namespace gsnet::apps {

/// The pairs whose pictures could be read, with the angles between their embeddings in radians.
struct PairAngles {
  std::vector<data::PicturePair> pairs;
  std::vector<double> angles;
};

/// `made` are embeddings of the set's pictures, corrupted or not. Throws Error naming the first pair with an embedding
/// of length 0, and unless pairs of one person and of two are left: then it names `list` and what was lost.
PairAngles angles_of(const data::VerificationSet& set, const Embeddings& made, const std::string& list);

/// Cosines as scores.
VerifyCondition condition_of(const std::string& name, const PairAngles& found);

}  // namespace gsnet::apps
