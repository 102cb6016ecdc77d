// The table of subcommands.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/error.h"

namespace gsnet::apps {

/// Wrong use of the command line: exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// Exit code of a run that Ctrl-C ended after saving.
constexpr int kInterrupted = 130;

struct Command {
  const char* name;
  const char* summary;
  /// `arguments` are those after the subcommand's name. Returns the exit code; throws UsageError or Error.
  int (*run)(const std::vector<std::string>& arguments);
};

std::span<const Command> commands();

/// The whole program but for argv: dispatch, --help, --version, errors as one line on stderr. Returns the exit code.
int run_command_line(const std::vector<std::string>& arguments);

int train_command(const std::vector<std::string>& arguments);
int adapt_command(const std::vector<std::string>& arguments);
int merge_command(const std::vector<std::string>& arguments);
int certify_command(const std::vector<std::string>& arguments);
int attack_command(const std::vector<std::string>& arguments);
int smooth_command(const std::vector<std::string>& arguments);
int verify_command(const std::vector<std::string>& arguments);
int embed_command(const std::vector<std::string>& arguments);
int predict_command(const std::vector<std::string>& arguments);
int inspect_command(const std::vector<std::string>& arguments);
int import_command(const std::vector<std::string>& arguments);
int export_command(const std::vector<std::string>& arguments);
int adapter_command(const std::vector<std::string>& arguments);
int data_command(const std::vector<std::string>& arguments);
int bench_command(const std::vector<std::string>& arguments);
int signature_command(const std::vector<std::string>& arguments);

}  // namespace gsnet::apps
