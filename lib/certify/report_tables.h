// The tables of the page.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "certify/report.h"

namespace gsnet::report {

/// The heading of accuracy at the first tabled radius.
std::string first_radius_title(const CertificationReport& report);

/// Every class with its clean and certified accuracy, as numbers and as bars.
std::string class_table(const CertificationReport& report, const CertificationSummary& summary);

/// Accuracy at every radius that anything is told for: certified, as executed, and what stands beside.
std::string radius_table(const CertificationReport& report, const CertificationSummary& summary);

std::string layer_table(const CertificationReport& report);
std::string settings_table(const std::vector<std::pair<std::string, std::string>>& settings);

}  // namespace gsnet::report
