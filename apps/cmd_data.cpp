// gsnet data
#include <fmt/format.h>

#include <algorithm>

#include "apps/command.h"
#include "apps/console.h"
#include "apps/data_source.h"
#include "apps/options.h"
#include "apps/training_data.h"
#include "data/classes.h"
#include "data/fetch.h"
#include "data/tolerant.h"

namespace gsnet::apps {
namespace {

int list(const std::vector<std::string>& arguments) {
  Options options("data list", "Names the public data sets that gsnet data fetch gets.");
  if (!options.parse(arguments)) return 0;
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

void show_classes(const data::Dataset& dataset) {
  std::vector<int64_t> counts = data::class_sizes(dataset);
  std::vector<std::string> single, empty;
  for (size_t c = 0; c < counts.size(); ++c) {
    if (counts[c] == 1) single.push_back(dataset.class_names()[c]);
    if (counts[c] == 0) empty.push_back(dataset.class_names()[c]);
  }
  std::ranges::sort(counts);
  fmt::print("classes      {}, of {} to {} pictures, half of them at least {}\n", counts.size(), counts.front(),
             counts.back(), counts[counts.size() / 2]);
  if (!single.empty()) fmt::print("one picture  {} classes, which make no pair: {}\n", single.size(), some_of(single));
  if (!empty.empty()) fmt::print("no picture   {} classes: {}\n", empty.size(), some_of(empty));
}

/// Exit code 1 where a picture cannot be read.
int show_unreadable(const std::shared_ptr<const data::Dataset>& dataset) {
  const auto unreadable = std::make_shared<data::UnreadablePictures>();
  const auto pictures = data::tolerant(dataset, unreadable);
  std::vector<uint8_t> pixels(static_cast<size_t>(pictures->picture().numel()));
  ProgressLine progress;
  for (int64_t i = 0; i < pictures->size(); ++i) {
    pictures->read(i, pixels);
    progress.show(fmt::format("read {} of {}", i + 1, pictures->size()));
  }
  progress.clear();
  for (const auto& [picture, reason] : unreadable->all()) fmt::print("unreadable   {}\n", reason);
  if (unreadable->all().empty()) fmt::print("readable     all of them\n");
  return unreadable->all().empty() ? 0 : 1;
}

int show(const std::vector<std::string>& arguments) {
  Options options("data show PATH [--split train] [--side N] [--read]",
                  "Says what a data set holds: pictures, classes, classes with a single picture; with --read,\n"
                  "which pictures cannot be read (exit code 1 then).");
  options.positional("PATH", kDataHelp)
      .value("split", "train or test", "train")
      .value("side", "to which pictures are scaled; 0: as they are", "0")
      .flag("read", "decode every picture");
  if (!options.parse(arguments)) return 0;
  const auto dataset = open_named(options.text("PATH"), parse_split(options.text("split")),
                                  static_cast<int>(options.integer("side", 0, 8192)), 10'000);
  const data::PictureShape shape = dataset->picture();
  fmt::print("pictures     {}, of {} x {} pixels, {} channels\n", dataset->size(), shape.height, shape.width,
             shape.channels);
  show_classes(*dataset);
  return options.has("read") ? show_unreadable(dataset) : 0;
}

}  // namespace

int data_command(const std::vector<std::string>& arguments) {
  const std::string verb = arguments.empty() ? "" : arguments[0];
  const std::vector<std::string> rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  if (verb == "list") return list(rest);
  if (verb == "fetch") return fetch(rest);
  if (verb == "show") return show(rest);
  if (verb == "--help" || verb == "-h") {
    fmt::print(
        "usage: gsnet data list\n       gsnet data fetch NAME --to DIR\n       gsnet data show PATH [--split train] "
        "[--side N] [--read]\n");
    return 0;
  }
  throw UsageError("data needs list, fetch or show; gsnet data --help");
}

}  // namespace gsnet::apps
