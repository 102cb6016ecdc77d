#include "apps/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "apps/data_source.h"
#include "core/error.h"
#include "train/trainer.h"

namespace gsnet::apps {
namespace {

double cross_entropy(std::span<const double> logits, int label) {
  const double largest = std::ranges::max(logits);
  double sum = 0;
  for (double z : logits) sum += std::exp(z - largest);
  return std::log(sum) + largest - logits[static_cast<size_t>(label)];
}

}  // namespace

void check_fits(const Model& model, const data::Dataset& dataset) {
  const data::PictureShape picture = dataset.picture();
  const Shape wanted = model.graph->input();
  GSNET_CHECK((wanted == Shape{picture.channels, picture.height, picture.width}),
              fmt::format("the model takes pictures of {}, the data has ({}, {}, {})", to_string(wanted),
                          picture.channels, picture.height, picture.width));
  const std::vector<std::string>&known = model.info.class_names, &found = dataset.class_names();
  for (size_t c = 0; c < std::min(known.size(), found.size()); ++c) {
    if (known[c] == std::to_string(c) || found[c] == std::to_string(c)) continue;  // nobody named them
    GSNET_CHECK(known[c] == found[c], fmt::format("class {} is '{}' to the model and '{}' in the data: another set, or "
                                                  "its classes in another order",
                                                  c, known[c], found[c]));
  }
  const auto classes = static_cast<int64_t>(dataset.class_names().size());
  GSNET_CHECK(classes == model.graph->output().numel(),
              fmt::format("the model tells {} classes apart, the data has {}", model.graph->output().numel(), classes));
}

void note_nameless(const Model& model) {
  if (!model.info.class_names.empty()) return;
  fmt::print(stderr, "gsnet: note: the model names no classes; its {} outputs are taken for logits\n",
             model.graph->output().numel());
}

std::vector<Outcome> evaluate(const Model& model, std::shared_ptr<const data::Dataset> dataset,
                              const EvaluateSpec& spec, const std::function<void(int64_t, int64_t)>& progress) {
  check_fits(model, *dataset);
  if (spec.limit > 0 && spec.limit < dataset->size()) {
    std::vector<int64_t> first(static_cast<size_t>(spec.limit));
    std::iota(first.begin(), first.end(), 0);
    dataset = data::subset(dataset, first);
  }
  const int64_t total = dataset->size();
  dataset = in_order(dataset, model);
  const MarginGeometry geometry(*model.graph);
  const UpperBound scale = input_scale(model.info.stddev);
  std::optional<RoundingModel> rounding;
  if (spec.executed) rounding.emplace(model);
  Backend& backend = model.graph->backend();
  data::Loader loader(
      dataset,
      {.batch = spec.batch, .normalisation = {model.info.mean, model.info.stddev}, .threads = spec.loader_threads});
  loader.start_epoch(0);
  std::vector<Outcome> outcomes;
  while (auto part = loader.next()) {
    Tape tape(backend, {.fast = !spec.executed});  // whose rounding errors are bounded only as written
    const Var x = tape.input(backend.upload(part->images));
    RoundingModel::Norms norms;
    const Var logits = rounding ? forward_with_norms(*model.graph, tape, x, norms) : model.graph->forward(tape, x);
    const std::vector<LogitError> errors = rounding ? rounding->errors(norms) : std::vector<LogitError>();
    const Tensor numbers = with_dtype(backend.download(logits.value), DType::f64);
    const auto classes = static_cast<size_t>(geometry.classes());
    for (int64_t n = 0; n < numbers.shape()[0]; ++n) {
      const std::span<const double> row(numbers.data<double>() + n * geometry.classes(), classes);
      const int label = part->labels.data<int32_t>()[n];
      const LogitError* error = rounding ? &errors[static_cast<size_t>(n)] : nullptr;
      outcomes.push_back({label, certify(row, geometry, scale, error), cross_entropy(row, label)});
    }
    if (progress) progress(static_cast<int64_t>(outcomes.size()), total);
  }
  return outcomes;
}

Accuracy accuracy_of(const std::vector<Outcome>& outcomes, double radius) {
  Accuracy accuracy;
  for (const Outcome& outcome : outcomes) {
    const bool right = outcome.certificate.predicted == outcome.label && outcome.certificate.radius_l2 > 0;
    accuracy.clean += right ? 1 : 0;
    accuracy.certified += right && outcome.certificate.radius_l2 > radius ? 1 : 0;
    accuracy.loss += outcome.loss;
  }
  const double count = std::max<double>(1, static_cast<double>(outcomes.size()));
  return {accuracy.clean / count, accuracy.certified / count, accuracy.loss / count};
}

Accuracy measure(const Model& model, std::shared_ptr<const data::Dataset> dataset, const EvaluateSpec& spec) {
  check_fits(model, *dataset);
  dataset = in_order(dataset, model);
  Backend& backend = model.graph->backend();
  data::Loader loader(
      dataset,
      {.batch = spec.batch, .normalisation = {model.info.mean, model.info.stddev}, .threads = spec.loader_threads});
  loader.start_epoch(0);
  Accuracy sum;
  int64_t count = 0;
  while (auto part = loader.next()) {
    Tape tape(backend, {.fast = true});
    const Var logits = model.graph->forward(tape, tape.input(backend.upload(part->images)));
    const Tensor numbers = with_dtype(backend.download(logits.value), DType::f64);
    sum.clean += static_cast<double>(count_correct(numbers, part->labels));
    const auto classes = static_cast<size_t>(numbers.shape()[1]);
    for (int64_t n = 0; n < numbers.shape()[0]; ++n, ++count) {
      sum.loss +=
          cross_entropy({numbers.data<double>() + n * numbers.shape()[1], classes}, part->labels.data<int32_t>()[n]);
    }
  }
  const double all = std::max<double>(1, static_cast<double>(count));
  return {sum.clean / all, 0, sum.loss / all};
}

}  // namespace gsnet::apps
