// What `gsnet verify` has to say: a table for people, JSON for programs, one page with curves and pictures.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "certify/report.h"
#include "faces/certificate.h"
#include "faces/verification.h"

namespace gsnet::apps {

/// The pairs on clean or on corrupted pictures. Pairs with an unreadable picture are not among them.
struct VerifyCondition {
  std::string name;  ///< "clean", "jpeg:3"
  std::vector<ScoredPair> pairs;
  std::optional<FoldAccuracy> folds;  ///< where there are at least two folds
  BestThreshold best;
  double at_threshold = 0;  ///< share of pairs called right at the decision threshold
  std::vector<RocPoint> curve;
  std::vector<TarAtFar> rates;
  double equal_error_rate = 0, area = 0;
};

/// "1e-3".
std::string rate_text(double far);

/// Fills in everything that follows from the pairs. Throws Error unless there are pairs of both kinds.
void judge(VerifyCondition& condition, int folds, const std::vector<double>& fars, double threshold);

/// Certificates of the clean pairs' decisions.
struct VerifyCertificates {
  std::string missing;   ///< why there are none: the layer without a bound
  double lipschitz = 0;  ///< proven, pictures in [0, 1] to embeddings
  std::vector<VerificationCertificate> pairs;

  /// A radius that large at least covers another picture of 8 bits: one grey level of one number.
  static constexpr double kLeastUseful = 1.0 / 255;
};

/// A pair that the network is most wrong about, with its pictures.
struct WorstPair {
  Thumbnail first, second;
  std::string names;
  double score = 0;
};

struct VerifyReport {
  std::string title;
  int folds = 1;
  double threshold = 0;  ///< of the cosine: what certificates are about
  bool threshold_given = false;
  std::vector<double> fars;
  std::vector<double> radii;                ///< at which certified shares are told
  std::vector<VerifyCondition> conditions;  ///< the clean one first
  VerifyCertificates certificates;
  int64_t pictures = 0, pairs_left_out = 0, landmarks_unused = 0;
  std::vector<std::string> missing;                             ///< pictures that pairs name and that are not there
  std::vector<std::pair<std::string, std::string>> unreadable;  ///< name, reason
  int64_t pairs_unreadable = 0;                                 ///< pairs left out for them
  std::vector<WorstPair> least_alike, most_alike;               ///< of the same person; of different people
  std::vector<std::pair<std::string, std::string>> settings;

  /// Share of the clean pairs decided right with a certificate (of one picture) larger than the radius.
  double certified(double radius_l2) const;
  double median_radius() const;
  /// Whether the certificates say anything: the median is at least kLeastUseful.
  bool certificates_useful() const;
};

std::string verify_table(const VerifyReport& report);
/// Keys: docs/json.md.
std::string verify_json(const VerifyReport& report);
std::string verify_html(const VerifyReport& report);

/// One sentence about the certificates.
std::string certificate_text(const VerifyReport& report);

}  // namespace gsnet::apps
