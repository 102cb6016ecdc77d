// How far a picture may be moved before a verification decision can change.
#pragma once

#include <span>

#include "core/bound.h"

namespace gsnet {

/// Angle between two vectors in radians, [0, pi], accurate to a few units of rounding everywhere.
/// Throws Error for vectors of different lengths, of length 0, or that are not finite.
double angle_between(std::span<const double> a, std::span<const double> b);

/// A decision: "the same" where the cosine of the angle between two embeddings is at least `threshold`.
struct VerificationDecision {
  double angle = 0;                        ///< between the embeddings, radians
  double threshold = 0;                    ///< of the cosine, in (-1, 1)
  double first_norm = 0, second_norm = 0;  ///< |f(x)|_2 of the embeddings as the network gives them
};

struct VerificationCertificate {
  /// No change of one of the two pictures of at most this L2 norm, pixels in [0, 1], changes the decision, whichever
  /// picture it is, in real arithmetic.
  double one_l2 = 0;
  /// The same where both pictures may be changed, each by at most this.
  double both_l2 = 0;
};

/// `lipschitz` bounds |f(x) - f(y)| / |x - y|, pictures with pixels in [0, 1] to embeddings (the network's bound times
/// the input scale; twice that for the sum of a picture's embedding and its mirror image's). With D the distance of the
/// angle from that of the threshold and n the smaller norm: one_l2 = n sin(min(D, pi/2)) / L,
/// both_l2 = n sin(min(D, pi) / 2) / L, rounded down (docs/certificates.md has the proof). Throws Error for a threshold
/// outside (-1, 1).
VerificationCertificate certify_verification(const VerificationDecision& decision, UpperBound lipschitz);

}  // namespace gsnet
