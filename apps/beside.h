// What other commands found for the same model, to be shown beside its certificates.
#pragma once

#include <string>
#include <vector>

#include "certify/report.h"

namespace gsnet::apps {

/// Reads the JSON files that `gsnet attack` and `gsnet smooth` wrote, separated by commas. Throws Error naming a file
/// that is neither, or that is about another number of pictures than `count`.
std::vector<Comparison> read_comparisons(const std::string& files, int64_t count);

/// Certified accuracy can never be above what attacks left standing at the same radius. Throws Error where it is.
void check_order(const CertificationSummary& summary, const std::vector<Comparison>& beside);

}  // namespace gsnet::apps
