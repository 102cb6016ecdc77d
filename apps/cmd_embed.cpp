// gsnet embed
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/console.h"
#include "apps/embed.h"
#include "apps/open_model.h"
#include "apps/options.h"
#include "apps/outputs.h"
#include "data/verification.h"
#include "io/safetensors.h"

namespace gsnet::apps {
namespace {

constexpr size_t kMostNameBytes = size_t{32} << 20;  // in the file's header

void normalise(Tensor& rows) {
  const int64_t features = rows.shape()[1];
  for (int64_t n = 0; n < rows.shape()[0]; ++n) {
    const auto row = rows.rows(n, 1).host<float>();
    double sum = 0;
    for (const float value : row) sum += static_cast<double>(value) * static_cast<double>(value);
    const double scale = sum > 0 ? 1 / std::sqrt(sum) : 0;
    for (int64_t i = 0; i < features; ++i) {
      float& value = row[static_cast<size_t>(i)];
      value = static_cast<float>(static_cast<double>(value) * scale);
    }
  }
}

/// Rows and names of the pictures that could be read.
std::vector<std::string> keep_readable(Embeddings& all, const data::Dataset& pictures) {
  std::vector<std::string> names;
  Tensor kept = Tensor::empty({pictures.size() - std::ssize(all.unreadable), all.rows.shape()[1]}, DType::f32);
  for (int64_t i = 0; i < pictures.size(); ++i) {
    if (all.unreadable.contains(i)) continue;
    std::ranges::copy(all.rows.rows(i, 1).host<float>(), kept.rows(std::ssize(names), 1).host<float>().begin());
    names.push_back(pictures.name(i));
  }
  all.rows = kept;
  return names;
}

}  // namespace

int embed_command(const std::vector<std::string>& arguments) {
  Options options(
      "embed MODEL --images FOLDER|TAR --out FILE [--csv FILE]",
      "Embeds every picture of a folder or a tar(.gz). The file holds the tensor \"embeddings\" (N, D) f32\n"
      "and in its metadata \"names\", a JSON list. Pictures that cannot be read are left out and named.");
  options.positional("MODEL", "a model file, or an ONNX file that gsnet wrote")
      .value("images", "a folder or a tar(.gz) of pictures, in any folders")
      .value("out", "safetensors file to write")
      .value("csv", "file for a table of rows and names")
      .value("align", "landmarks to align the pictures by (docs/faces.md)")
      .flag("flip", "add the embedding of the mirror image")
      .flag("normalise", "rows of unit length")
      .value("batch", "pictures at a time", "64")
      .machine();
  if (!options.parse(arguments)) return 0;
  if (!options.given("images") || !options.given("out")) throw UsageError("embed needs --images and --out");
  require_writable(options, {"out", "csv"}, {"MODEL", "images", "align"});
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  const Model model = open_model(options.text("MODEL"), *backend);
  int64_t landmarks_unused = 0;
  const auto pictures = data::open_pictures(
      options.text("images"), {.side = face_side(model), .landmarks = options.text("align")}, &landmarks_unused);
  const Stopwatch watch;
  ProgressLine progress;
  Embeddings made =
      embed(model, pictures, {.batch = options.integer("batch", 1, 100'000), .flip = options.has("flip")},
            [&](int64_t done, int64_t total) { progress.show(fmt::format("embedded {} of {}", done, total)); });
  progress.clear();
  const std::vector<std::string> names = keep_readable(made, *pictures);
  for (const auto& [picture, reason] : made.unreadable) fmt::print(stderr, "left out: {}\n", reason);
  if (landmarks_unused > 0) {
    fmt::print(stderr, "{} lines of the landmarks name no picture that is there\n", landmarks_unused);
  }
  GSNET_CHECK(!names.empty(),
              fmt::format("{}: none of the {} pictures can be read", options.text("images"), pictures->size()));
  if (options.has("normalise")) normalise(made.rows);
  io::TensorFile file{{{"embeddings", made.rows}}, {{"flip", options.has("flip") ? "yes" : "no"}}};
  const nlohmann::json listed = names;
  std::string text = listed.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const bool fits = text.size() <= kMostNameBytes;
  if (fits) file.metadata["names"] = std::move(text);
  io::write_safetensors(options.text("out"), file);
  if (options.given("csv")) {
    std::string csv = "row,name\n";
    for (size_t i = 0; i < names.size(); ++i) csv += fmt::format("{},{}\n", i, csv_field(names[i]));
    io::write_atomically(options.text("csv"), csv);
  }
  fmt::print("{} embeddings of {} numbers in {:.1f} s, {} pictures left out: {}{}\n", names.size(),
             made.rows.shape()[1], watch.seconds(), made.unreadable.size(), options.text("out"),
             fits || options.given("csv") ? "" : "; too many names for the file, ask for --csv");
  return 0;
}

}  // namespace gsnet::apps
