// Where results go, tried before the work that makes them: now, not after an hour.
#pragma once

#include <filesystem>
#include <initializer_list>

#include "apps/options.h"

namespace gsnet::apps {

/// Throws Error unless every file that one of these options names could be written now; "-" is standard output.
void require_writable(const Options& options, std::initializer_list<const char*> names);

/// Makes the folder of a report, and those above it. Throws Error, also where its files could not be written.
void make_report_folder(const std::filesystem::path& folder);

}  // namespace gsnet::apps
