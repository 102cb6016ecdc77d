#include "apps/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <cmath>
#include <iostream>

#include "apps/command.h"

namespace gsnet::apps {
namespace po = boost::program_options;

struct Options::Parts {
  std::string usage, about;
  po::options_description visible{"options", 100}, all;
  po::positional_options_description positions;
  std::vector<std::pair<std::string, std::string>> positionals;
  po::variables_map values;
};

Options::Options(std::string usage, std::string about) : parts_(std::make_unique<Parts>()) {
  parts_->usage = std::move(usage);
  parts_->about = std::move(about);
}

Options::~Options() = default;

Options& Options::positional(const std::string& name, const std::string& help) {
  parts_->all.add_options()(name.c_str(), po::value<std::string>(), help.c_str());
  parts_->positions.add(name.c_str(), 1);
  parts_->positionals.emplace_back(name, help);
  return *this;
}

Options& Options::value(const std::string& name, const std::string& help, const std::string& standard) {
  auto* semantic = po::value<std::string>()->value_name("ARG");
  if (!standard.empty()) semantic->default_value(standard);
  parts_->visible.add_options()(name.c_str(), semantic, help.c_str());
  return *this;
}

Options& Options::values(const std::string& name, const std::string& help) {
  parts_->visible.add_options()(name.c_str(), po::value<std::vector<std::string>>()->value_name("ARG"), help.c_str());
  return *this;
}

Options& Options::flag(const std::string& name, const std::string& help) {
  parts_->visible.add_options()(name.c_str(), po::bool_switch(), help.c_str());
  return *this;
}

Options& Options::machine() {
  return value("backend", "cpu, reference, cuda, or check:A,B to compare two", "cpu")
      .value("threads", "host threads; 0: one a core", "0");
}

bool Options::parse(const std::vector<std::string>& arguments) {
  parts_->visible.add_options()("help,h", po::bool_switch(), "this text");
  parts_->all.add(parts_->visible);
  try {
    const auto style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(arguments).options(parts_->all).positional(parts_->positions).style(style).run(),
              parts_->values);
  } catch (const po::error& error) {
    throw UsageError(fmt::format("{}; usage: gsnet {}", error.what(), parts_->usage));
  }
  if (has("help")) {
    std::cout << "usage: gsnet " << parts_->usage << "\n\n" << parts_->about << "\n\n";
    for (const auto& [name, help] : parts_->positionals) std::cout << fmt::format("  {:<12} {}\n", name, help);
    std::cout << "\n" << parts_->visible;
    return false;
  }
  for (const auto& [name, help] : parts_->positionals) {
    if (!given(name)) throw UsageError(fmt::format("{} is missing; usage: gsnet {}", name, parts_->usage));
  }
  return true;
}

bool Options::given(const std::string& name) const {
  return parts_->values.count(name) != 0 && !parts_->values[name].defaulted();
}

bool Options::has(const std::string& flag) const { return parts_->values[flag].as<bool>(); }

std::string Options::text(const std::string& name) const {
  return parts_->values.count(name) != 0 ? parts_->values[name].as<std::string>() : std::string();
}

std::vector<std::string> Options::texts(const std::string& name) const {
  return parts_->values.count(name) != 0 ? parts_->values[name].as<std::vector<std::string>>()
                                         : std::vector<std::string>();
}

int64_t Options::integer(const std::string& name, int64_t least, int64_t most) const {
  const std::string value = text(name);
  int64_t number = 0;
  const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (code != std::errc() || end != value.data() + value.size() || number < least || number > most) {
    throw UsageError(fmt::format("--{} must be an integer {} … {}, got '{}'", name, least, most, value));
  }
  return number;
}

BackendSpec Options::backend() const {
  std::string name = text("backend");
  std::string_view machines = name;  // "cpu", or "check:A,B"
  if (machines.starts_with("check:")) machines.remove_prefix(6);
  const size_t comma = machines.find(',');
  const auto known = [](std::string_view one) { return one == "cpu" || one == "reference" || one == "cuda"; };
  const bool pair = name.starts_with("check:");
  if (pair ? comma == std::string_view::npos || !known(machines.substr(0, comma)) || !known(machines.substr(comma + 1))
           : !known(machines)) {
    throw UsageError(fmt::format("--backend must be cpu, reference, cuda or check:A,B of these, got '{}'", name));
  }
  return {std::move(name), static_cast<int>(integer("threads", 0, 1024))};
}

double parse_number(const std::string& text) {
  const auto parse = [&](std::string_view part) {
    double value = 0;
    const auto [end, code] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (code != std::errc() || end != part.data() + part.size() || !std::isfinite(value)) {
      throw UsageError(fmt::format("'{}' is not a number or a fraction like 36/255", text));
    }
    return value;
  };
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return parse(text);
  const double below = parse(std::string_view(text).substr(slash + 1));
  if (below == 0) throw UsageError(fmt::format("'{}' divides by zero", text));
  const double quotient = parse(std::string_view(text).substr(0, slash)) / below;
  if (!std::isfinite(quotient)) throw UsageError(fmt::format("'{}' is too large a number", text));
  return quotient;
}

bool bounds_rounding(const Options& options) {
  const std::string text = options.text("arithmetic");
  if (text != "real" && text != "both") {
    throw UsageError(fmt::format("--arithmetic must be real or both, got '{}'", text));
  }
  return text == "both";
}

std::vector<std::string> split_list(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string radius_text(double radius) {
  const double pixels = radius * 255;
  if (pixels > 0.5 && pixels < 1e6 && std::abs(pixels - std::round(pixels)) < 1e-6)
    return fmt::format("{:.0f}/255", pixels);
  return fmt::format("{:.4g}", radius);
}

std::vector<double> parse_radii(const std::string& text) {
  std::vector<double> radii;
  for (const std::string& part : split_list(text)) {
    radii.push_back(parse_number(part));
    if (radii.back() <= 0) throw UsageError(fmt::format("radii must be positive, got '{}'", text));
  }
  std::ranges::sort(radii);
  radii.erase(std::unique(radii.begin(), radii.end()), radii.end());
  return radii;
}

}  // namespace gsnet::apps
