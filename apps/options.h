// Command-line options, in one style for all commands.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace gsnet::apps {

/// What --data takes, for the help of every command that has it.
inline constexpr const char* kDataHelp =
    "data set: a folder of CIFAR-10/100 binaries or one .bin of them; IDX files, .gz or not (MNIST and kin); a folder "
    "or tar(.gz) of pictures, one folder a class; a .rec of RecordIO; or glyphs, the embedded set";

/// Declares a command's arguments, then reads them. Wrong use throws UsageError with one line.
class Options {
 public:
  /// `usage` is the line after "usage: gsnet "; `about` one paragraph or more.
  Options(std::string usage, std::string about);
  ~Options();

  /// A positional argument that must be given.
  Options& positional(const std::string& name, const std::string& help);
  /// --name VALUE.
  Options& value(const std::string& name, const std::string& help, const std::string& standard = "");
  /// --name VALUE, any number of times.
  Options& values(const std::string& name, const std::string& help);
  /// --name.
  Options& flag(const std::string& name, const std::string& help);
  /// --backend and --threads.
  Options& machine();

  /// False when --help was asked for and printed.
  bool parse(const std::vector<std::string>& arguments);

  bool given(const std::string& name) const;
  bool has(const std::string& flag) const;
  /// The value or its standard; empty when there is neither.
  std::string text(const std::string& name) const;
  std::vector<std::string> texts(const std::string& name) const;
  int64_t integer(const std::string& name, int64_t least, int64_t most) const;
  BackendSpec backend() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// A number or a fraction: "0.5", "36/255". Throws UsageError.
double parse_number(const std::string& text);
/// The parts between commas, empty ones too.
std::vector<std::string> split_list(const std::string& text, char separator = ',');
/// What --arithmetic says, real or both: whether rounding errors are bounded too. Throws UsageError.
bool bounds_rounding(const Options& options);
/// "36/255" where it is that, else four digits.
std::string radius_text(double radius);
/// Radii separated by commas, > 0, sorted and without repetition. Throws UsageError.
std::vector<double> parse_radii(const std::string& text);

}  // namespace gsnet::apps
