// Where results go, tried before the work that makes them: now, not after an hour.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>

#include "apps/options.h"
#include "layers/model.h"

namespace gsnet::apps {

/// Two names of one file or folder, there or not.
bool same_file(const std::string& a, const std::string& b);

/// Throws Error unless every file that one of these options names could be written now, and UsageError where it is
/// another one's, or what one of `inputs` (options and positional arguments, or a list with commas) names. "-" is
/// standard output for --json and what `to_stdout` lists, and a UsageError for others.
void require_writable(const Options& options, std::initializer_list<const char*> names,
                      std::initializer_list<const char*> inputs = {},
                      std::initializer_list<const char*> to_stdout = {});

/// An ONNX file where the name ends in .onnx, else a model file.
void write_network(const std::string& file, const Model& model);

/// A field of a CSV line, quoted where it must be.
std::string csv_field(const std::string& text);

/// Makes the folder of a report, and those above it. Throws Error, also where its files could not be written.
void make_report_folder(const std::filesystem::path& folder);

}  // namespace gsnet::apps
