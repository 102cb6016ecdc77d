#include "apps/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace gsnet::apps {
namespace {

void check_fits(const Model& model, const data::Dataset& dataset) {
  const data::PictureShape picture = dataset.picture();
  const Shape wanted = model.graph->input();
  GSNET_CHECK((wanted == Shape{picture.channels, picture.height, picture.width}),
              fmt::format("the model takes pictures of {}, the data has ({}, {}, {})", to_string(wanted),
                          picture.channels, picture.height, picture.width));
  const auto classes = static_cast<int64_t>(dataset.class_names().size());
  GSNET_CHECK(classes == model.graph->output().numel(),
              fmt::format("the model tells {} classes apart, the data has {}", model.graph->output().numel(), classes));
}

double cross_entropy(std::span<const double> logits, int label) {
  const double largest = std::ranges::max(logits);
  double sum = 0;
  for (double z : logits) sum += std::exp(z - largest);
  return std::log(sum) + largest - logits[static_cast<size_t>(label)];
}

}  // namespace

std::vector<Outcome> evaluate(const Model& model, std::shared_ptr<const data::Dataset> dataset, int64_t limit,
                              int64_t batch, int loader_threads,
                              const std::function<void(int64_t, int64_t)>& progress) {
  check_fits(model, *dataset);
  if (limit > 0 && limit < dataset->size()) {
    std::vector<int64_t> first(static_cast<size_t>(limit));
    std::iota(first.begin(), first.end(), 0);
    dataset = data::subset(dataset, first);
  }
  const int64_t total = dataset->size();
  const MarginGeometry geometry(*model.graph);
  const UpperBound scale = input_scale(model.info.stddev);
  Backend& backend = model.graph->backend();
  data::Loader loader(
      dataset, {.batch = batch, .normalisation = {model.info.mean, model.info.stddev}, .threads = loader_threads});
  loader.start_epoch(0);
  std::vector<Outcome> outcomes;
  while (auto part = loader.next()) {
    Tape tape(backend, {});
    const Var logits = model.graph->forward(tape, tape.input(backend.upload(part->images)));
    const Tensor numbers = with_dtype(backend.download(logits.value), DType::f64);
    const auto classes = static_cast<size_t>(geometry.classes());
    for (int64_t n = 0; n < numbers.shape()[0]; ++n) {
      const std::span<const double> row(numbers.data<double>() + n * geometry.classes(), classes);
      const int label = part->labels.data<int32_t>()[n];
      outcomes.push_back({label, certify(row, geometry, scale), cross_entropy(row, label)});
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

}  // namespace gsnet::apps
