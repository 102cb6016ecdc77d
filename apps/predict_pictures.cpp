#include "apps/predict_pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "apps/embed.h"
#include "core/error.h"
#include "data/assemble.h"
#include "data/decode.h"
#include "data/files.h"
#include "data/picture_set.h"
#include "io/safetensors.h"

namespace gsnet::apps {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShownNumbers = 4;
constexpr size_t kWidestName = 60;

bool names_classes(const Model& model) { return !model.info.class_names.empty(); }

std::vector<fs::path> files_of(const fs::path& path) {
  if (!fs::is_directory(path)) {
    GSNET_CHECK(fs::is_regular_file(path), fmt::format("{}: there is no such file or folder", path.string()));
    return {path};
  }
  std::vector<fs::path> files;
  for (const std::string& name : data::picture_paths(path, data::PictureNames::known)) files.push_back(path / name);
  GSNET_CHECK(!files.empty(), fmt::format("{}: there is no picture (PNG, JPEG, BMP, PPM, PGM)", path.string()));
  return files;
}

/// Colours in the model's order.
data::Picture decoded(const Model& model, const fs::path& file, int side) {
  data::Picture picture = data::decode_picture(data::read_file(file, data::kMostPictureBytes), file.string(), side);
  for (size_t i = 0; model.info.order == ChannelOrder::bgr && i + 2 < picture.pixels.size(); i += 3) {
    std::swap(picture.pixels[i], picture.pixels[i + 2]);
  }
  return picture;
}

/// Evaluates a batch and appends its rows.
void run_batch(const Model& model, data::Batch& batch, int64_t count, TapeMode mode, std::vector<float>& rows) {
  Backend& backend = model.graph->backend();
  Tape tape(backend, mode);
  const Var y = model.graph->forward(tape, tape.input(backend.upload(batch.images.rows(0, count))));
  const Tensor numbers = with_layout(with_dtype(backend.download(y.value), DType::f32), Layout::row_major);
  rows.insert(rows.end(), numbers.host<float>().begin(), numbers.host<float>().end());
}

std::span<const float> row_of(const Tensor& x, size_t i) {
  const auto width = static_cast<size_t>(x.shape()[1]);
  return x.host<float>().subspan(i * width, width);
}

}  // namespace

TapeMode prediction_mode(bool fast, int64_t pictures) {
  constexpr int64_t kMany = 1000;
  return {.fast = fast, .many = fast && pictures >= kMany};
}

Predictions predict_pictures(const Model& model, const fs::path& path, int64_t batch, bool fast) {
  const int side = face_side(model);
  const data::PictureShape shape{3, side, side};
  const data::Normaliser normaliser({model.info.mean, model.info.stddev}, 3);
  const std::vector<fs::path> files = files_of(path);
  data::require_decoder(path.string());
  const TapeMode mode = prediction_mode(fast, static_cast<int64_t>(files.size()));
  Predictions found;
  std::vector<float> rows;
  data::Batch pictures = data::empty_batch(shape, std::min<int64_t>(batch, static_cast<int64_t>(files.size())));
  int64_t waiting = 0;
  for (const fs::path& file : files) {
    try {
      const data::Picture picture = decoded(model, file, side);
      normaliser.write(picture.pixels.data(), shape, {}, pictures.images.data<float>() + waiting * shape.numel());
      found.names.push_back(file.string());
    } catch (const Error& error) {
      found.unreadable.emplace_back(error.what());
      continue;
    }
    if (++waiting < pictures.images.shape()[0]) continue;
    run_batch(model, pictures, std::exchange(waiting, 0), mode, rows);
  }
  GSNET_CHECK(!found.names.empty(),
              fmt::format("none of {} pictures can be read: {}", files.size(), found.unreadable[0]));
  if (waiting > 0) run_batch(model, pictures, waiting, mode, rows);
  const auto count = static_cast<int64_t>(found.names.size());
  found.outputs = Tensor::of({count, static_cast<int64_t>(rows.size()) / count}, std::span<const float>(rows));
  return found;
}

Tensor probabilities(const Tensor& logits) {
  Tensor shares = Tensor::empty(logits.shape(), DType::f32);
  float* to = shares.data<float>();
  for (size_t i = 0; std::cmp_less(i, logits.shape()[0]); ++i) {
    const std::span<const float> row = row_of(logits, i);
    const double largest = std::ranges::max(row);
    double sum = 0;
    for (const float z : row) sum += std::exp(z - largest);
    for (const float z : row) *to++ = static_cast<float>(std::exp(z - largest) / sum);
  }
  return shares;
}

std::string predictions_table(const Model& model, const Predictions& predictions) {
  size_t width = 7;
  for (const std::string& name : predictions.names) width = std::max(width, std::min(name.size(), kWidestName));
  const bool classes = names_classes(model);
  std::string text =
      fmt::format("{:<{}}  {}\n", "picture", width, classes ? "probability  class" : "length    embedding");
  const Tensor shares = classes ? probabilities(predictions.outputs) : Tensor();
  for (size_t i = 0; i < predictions.names.size(); ++i) {
    const std::string& name = predictions.names[i];
    const std::string shown = name.size() > width ? "…" + name.substr(name.size() - width + 1) : name;
    if (classes) {
      const auto row = row_of(shares, i);
      const auto best = static_cast<size_t>(std::ranges::max_element(row) - row.begin());
      text += fmt::format("{:<{}}  {:<11.4f}  {}\n", shown, width, row[best], model.info.class_names[best]);
      continue;
    }
    const auto row = row_of(predictions.outputs, i);
    double square = 0;
    for (const float number : row) square += double{number} * double{number};
    text += fmt::format("{:<{}}  {:<8.4g}", shown, width, std::sqrt(square));
    for (size_t k = 0; k < std::min(kShownNumbers, row.size()); ++k) text += fmt::format("  {:.4f}", row[k]);
    text += row.size() > kShownNumbers ? fmt::format("  … ({} numbers)\n", row.size()) : "\n";
  }
  return text;
}

std::string predictions_json(const Model& model, const Predictions& predictions) {
  const bool classes = names_classes(model);
  const Tensor shares = classes ? probabilities(predictions.outputs) : Tensor();
  Json pictures = Json::array();
  for (size_t i = 0; i < predictions.names.size(); ++i) {
    Json entry = {{"name", predictions.names[i]}};
    const auto row = row_of(classes ? shares : predictions.outputs, i);
    if (classes) {
      const auto best = static_cast<size_t>(std::ranges::max_element(row) - row.begin());
      entry["class"] = model.info.class_names[best];
      entry["probability"] = row[best];
    }
    entry[classes ? "probabilities" : "embedding"] = std::vector<float>(row.begin(), row.end());
    pictures.push_back(std::move(entry));
  }
  const Json all = {
      {"pictures", pictures}, {"classes", model.info.class_names}, {"unreadable", predictions.unreadable}};
  return all.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

void write_predictions(const fs::path& path, const Model& model, const Predictions& predictions) {
  if (path.extension() != ".safetensors") {
    io::write_atomically(path, predictions_json(model, predictions));
    return;
  }
  io::TensorFile file;
  file.metadata["pictures"] = Json(predictions.names).dump(-1, ' ', false, Json::error_handler_t::replace);
  file.tensors.emplace_back(names_classes(model) ? "logits" : "embeddings", predictions.outputs);
  if (names_classes(model)) file.tensors.emplace_back("probabilities", probabilities(predictions.outputs));
  io::write_safetensors(path, file);
}

}  // namespace gsnet::apps
