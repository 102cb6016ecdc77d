// What other commands found for the same model, to be shown beside its certificates.
#pragma once

#include <string>
#include <vector>

#include "certify/report.h"
#include "data/dataset.h"

namespace gsnet::apps {

/// Reads the JSON files that `gsnet attack` and `gsnet smooth` wrote, separated by commas. Throws Error naming a file
/// that is neither, or that is about another model, other data or other pictures than the report.
std::vector<Comparison> read_comparisons(const std::string& files, const CertificationReport& report);

/// Up to `most` of the pictures that `gsnet attack --save` wrote, the nearest to the clean ones first. `reversed`:
/// their channels are blue, green, red. Throws Error naming the file where it is none of these, or does not fit the
/// report.
std::vector<BrokenPicture> read_broken(const std::string& file, const CertificationReport& report,
                                       const data::Dataset& dataset, bool reversed, size_t most);

/// Certified accuracy, as executed where that is known, can never be above what attacks left standing at the same
/// radius. Throws Error where it is.
void check_order(const CertificationSummary& summary, const std::vector<Comparison>& beside);

}  // namespace gsnet::apps
