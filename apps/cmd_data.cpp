// gsnet data
#include <fmt/format.h>

#include <algorithm>

#include "apps/command.h"
#include "apps/console.h"
#include "apps/options.h"
#include "data/fetch.h"

namespace gsnet::apps {
namespace {

int list() {
  fmt::print("glyphs         embedded: ten classes of figures drawn by the program, no download\n");
  for (const data::PublicDataset& dataset : data::public_datasets()) {
    fmt::print("{:<14} {}\n", dataset.name, dataset.description);
  }
  return 0;
}

int fetch(const std::vector<std::string>& arguments) {
  Options options("data fetch NAME --to DIR",
                  "Downloads a public data set from its publisher, checks it, and goes on where an\n"
                  "earlier try stopped. gsnet data list names them.");
  options.positional("NAME", "which data set").value("to", "folder to put it into").flag("quiet", "no progress");
  if (!options.parse(arguments)) return 0;
  if (!options.given("to")) throw UsageError("data fetch needs --to DIR");
  const auto sets = data::public_datasets();
  const auto found = std::ranges::find(sets, options.text("NAME"), &data::PublicDataset::name);
  if (found == sets.end()) {
    throw UsageError(fmt::format("unknown data set '{}'; gsnet data list names them", options.text("NAME")));
  }
  ProgressLine progress(options.has("quiet"));
  data::fetch(*found, options.text("to"), [&](std::string_view file, int64_t done, int64_t total) {
    const double megabytes = static_cast<double>(done) * 1e-6;
    progress.show(total > 0 ? fmt::format("{}  {:.1f} of {:.1f} MB", file, megabytes, static_cast<double>(total) * 1e-6)
                            : fmt::format("{}  {:.1f} MB", file, megabytes));
  });
  progress.clear();
  fmt::print("{}: {}\n", found->name, options.text("to"));
  return 0;
}

}  // namespace

int data_command(const std::vector<std::string>& arguments) {
  const std::string verb = arguments.empty() ? "" : arguments[0];
  const std::vector<std::string> rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  if (verb == "list") return list();
  if (verb == "fetch") return fetch(rest);
  if (verb == "--help" || verb == "-h") {
    fmt::print("usage: gsnet data list\n       gsnet data fetch NAME --to DIR\n");
    return 0;
  }
  throw UsageError("data needs list or fetch; gsnet data --help");
}

}  // namespace gsnet::apps
