// What other commands found for the same model, to be shown beside its certificates.
#pragma once

#include <string>
#include <vector>

#include "certify/report.h"
#include "data/dataset.h"

namespace gsnet::apps {

/// The setting by which runs about one network know each other.
inline constexpr const char* kModelDigest = "model digest";
/// Whether a setting is one of those by which runs about one network and the same pictures know each other.
bool tells_run(const std::string& key);
/// "sha256:…" of a model file.
std::string model_digest(const std::string& file);

/// Reads the JSON files that `gsnet attack` and `gsnet smooth` wrote, separated by commas. Throws Error naming a file
/// that is neither, that is about another model, other data or other pictures than the report, or that tells of
/// certificates broken.
std::vector<Comparison> read_comparisons(const std::string& files, const CertificationReport& report);

/// Up to `most` of the pictures that `gsnet attack --save` wrote, the nearest to the clean ones first. `reversed`:
/// their channels are blue, green, red. Throws Error naming the file where it is none of these, is about another model
/// or other pictures than the report, tells of distances that are not its pictures', or of certificates broken.
std::vector<BrokenPicture> read_broken(const std::string& file, const CertificationReport& report,
                                       const data::Dataset& dataset, bool reversed, size_t most);

/// Nothing within a certified radius, as executed where that is known, can have been broken, and certified accuracy
/// never be above what attacks left standing. Throws Error naming the picture or the radius.
void check_attacks(const CertificationReport& report);

}  // namespace gsnet::apps
