#include "faces/head.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "faces/rows.h"

namespace gsnet {
namespace {

constexpr double kInitialDeviation = 0.01;
constexpr double kLeastNorm = 0.001, kMostNorm = 100;
constexpr double kDeviationFloor = 1e-3;

void check(const HeadSpec& spec, int64_t features, int64_t classes) {
  const auto within = [](const char* what, double value, double low, double high) {
    GSNET_CHECK(value >= low && value <= high,
                fmt::format("[head] {} must be within [{}, {}], got {}", what, low, high, value));
  };
  GSNET_CHECK(features >= 1 && classes >= 2 && classes <= INT32_MAX,
              fmt::format("[head] needs a feature and two classes, got {} and {}", features, classes));
  within("the scale", spec.scale, 1e-3, 1e4);
  within("the factor of the angle", spec.multiply, 1, 8);
  within("the margin of the angle", spec.angle, 0, 3);
  within("the margin of the cosine", spec.cosine, 0, 2);
  GSNET_CHECK(spec.sample_rate > 0 && spec.sample_rate <= 1,
              fmt::format("[head] the share of centres must be above 0 and at most 1, got {}", spec.sample_rate));
  if (!spec.adaptive) return;
  within("the adaptive margin", spec.adaptive->margin, 0, 1);
  within("the concentration", spec.adaptive->concentration, 0, 100);
  within("the momentum of the statistics", spec.adaptive->momentum, 0, 1);
  GSNET_CHECK(spec.multiply == 1 && spec.angle == 0 && spec.cosine == 0,
              "[head] an adaptive margin takes the place of the others, which must be 1, 0 and 0");
}

Tensor uploaded(Backend& backend, const std::vector<double>& values) {
  return backend.upload(Tensor::of<double>({std::ssize(values)}, values));
}

Tensor drawn_weight(Backend& backend, int64_t classes, int64_t features, RandomKey key) {
  const Tensor host = Tensor::empty({classes, features}, DType::f64);
  Random random(key);
  for (double& value : host.host<double>()) value = kInitialDeviation * random.normal();
  return backend.upload(host);
}

}  // namespace

FaceHead::FaceHead(Backend& backend, int64_t features, int64_t classes, const HeadSpec& spec, RandomKey key)
    : backend_(backend), spec_(spec) {
  check(spec, features, classes);
  weight_.value = drawn_weight(backend, classes, features, key);
  weight_.scale_invariant = true;
  step_ = Tensor::of<int64_t>({1}, {0});
  if (!spec.adaptive) return;
  norm_mean_ = uploaded(backend, {20});
  norm_stddev_ = uploaded(backend, {100});
}

void FaceHead::visit(Visitor& visitor) {
  visitor.parameter("head.weight", weight_);
  visitor.buffer("head.step", step_);
  if (!spec_.adaptive) return;
  visitor.buffer("head.norm_mean", norm_mean_);
  visitor.buffer("head.norm_stddev", norm_stddev_);
}

void FaceHead::set_centres(const Tensor& centres) {
  GSNET_CHECK(centres.shape() == weight_.value.shape(),
              fmt::format("[head] the centres are {}, expected {}", to_string(centres.shape()),
                          to_string(weight_.value.shape())));
  check_directions(centres, "[head] centre");
  weight_.value = backend_.upload(centres);
  weight_.changed();
}

double FaceHead::read(const Tensor& one) const {
  return with_dtype(backend_.download(one), DType::f64).data<double>()[0];
}

/// Mean and deviation (unbiased) of a batch's norms enter the running ones; a batch of one picture has none.
void FaceHead::follow(const std::vector<double>& norms) {
  const auto count = static_cast<double>(norms.size());
  if (count < 2) return;
  double mean = 0, variance = 0;
  for (const double norm : norms) mean += norm / count;
  for (const double norm : norms) variance += (norm - mean) * (norm - mean) / (count - 1);
  if (!std::isfinite(mean) || !std::isfinite(variance)) return;  // the loss will tell
  const double share = spec_.adaptive->momentum;
  norm_mean_ = uploaded(backend_, {(1 - share) * read(norm_mean_) + share * mean});
  norm_stddev_ = uploaded(backend_, {(1 - share) * read(norm_stddev_) + share * std::sqrt(variance)});
}

FaceHead::Margins FaceHead::adaptive_margins(const Tensor& embeddings, bool training) {
  std::vector<double> norms = backend_.sample_norms(embeddings);
  for (double& norm : norms) norm = std::clamp(norm, kLeastNorm, kMostNorm);
  if (training) follow(norms);
  const auto [margin, concentration, momentum] = *spec_.adaptive;
  const double mean = read(norm_mean_), stddev = read(norm_stddev_);
  std::vector<double> raise, lower;
  for (const double norm : norms) {
    const double z = std::clamp((norm - mean) / (stddev + kDeviationFloor) * concentration, -1.0, 1.0);
    raise.push_back(-margin * z);
    lower.push_back(margin * (1 + z));
  }
  return {uploaded(backend_, raise), uploaded(backend_, lower)};
}

FaceHead::Margins FaceHead::fixed_margins(int64_t samples) {
  Margins& made = fixed_[samples];
  if (!made.raise) {
    made = {backend_.empty({samples}), backend_.empty({samples})};
    backend_.fill(spec_.angle, made.raise);
    backend_.fill(spec_.cosine, made.lower);
  }
  return made;
}

Objective::Value FaceHead::evaluate(Tape& tape, const Var& output, const Labels& given) {
  const Tensor& labels = given.host;
  const Var embeddings = ops::flatten(output);
  const int64_t samples = embeddings.shape()[0];
  check_labelled("[head]", embeddings.shape(), features(), labels, classes());
  const bool training = tape.mode().training;
  const Margins margins = spec_.adaptive ? adaptive_margins(embeddings.value, training) : fixed_margins(samples);
  Var centres = tape.use(weight_);
  Tensor columns;
  if (training) {
    const int64_t step = step_.data<int64_t>()[0];
    tape.on_host({.same = [] { return true; },
                  .act = [this] { step_ = Tensor::of<int64_t>({1}, {step_.data<int64_t>()[0] + 1}); }});
    if (spec_.sample_rate < 1) {
      const std::vector<int32_t> drawn = draw_centres(labels.host<int32_t>(), classes(), spec_.sample_rate,
                                                      RandomKey(spec_.seed).with(static_cast<uint64_t>(step)));
      centres = ops::gather_rows(centres, backend_.upload(Tensor::of<int32_t>({std::ssize(drawn)}, drawn)));
      columns = Tensor::empty({samples}, DType::i32);
      std::ranges::transform(labels.host<int32_t>(), columns.host<int32_t>().begin(), [&](int32_t label) {
        return static_cast<int32_t>(std::ranges::lower_bound(drawn, label) - drawn.begin());
      });
    }
  }
  const Var cosines = ops::linear(ops::normalise_rows(embeddings), ops::normalise_rows(centres));
  const MarginSoftmaxSpec softmax{.scale = spec_.scale,
                                  .multiply = spec_.multiply,
                                  .easy = spec_.easy_margin,
                                  .plain_gradient = spec_.gradient == HeadGradient::plain};
  const Tensor right = columns ? backend_.upload(columns) : given.machine;
  const Var losses = ops::margin_softmax(cosines, right, margins.raise, margins.lower, softmax);
  return {ops::mean(losses), cosines.value, columns};
}

std::vector<int32_t> draw_centres(std::span<const int32_t> labels, int64_t classes, double rate, RandomKey key) {
  std::vector<bool> taken(static_cast<size_t>(classes), false);
  for (const int32_t label : labels) taken[static_cast<size_t>(label)] = true;
  std::vector<int32_t> others;
  for (int64_t c = 0; c < classes; ++c) {
    if (!taken[static_cast<size_t>(c)]) others.push_back(static_cast<int32_t>(c));
  }
  const int64_t positive = classes - std::ssize(others);
  const int64_t wanted = std::max<int64_t>(0, std::llround(rate * static_cast<double>(classes)) - positive);
  Random random(key);
  for (int64_t i = 0; i < std::min(wanted, std::ssize(others)); ++i) {
    const auto left = static_cast<uint32_t>(std::ssize(others) - i);
    std::swap(others[static_cast<size_t>(i)], others[static_cast<size_t>(i) + random.below(left)]);
    taken[static_cast<size_t>(others[static_cast<size_t>(i)])] = true;
  }
  std::vector<int32_t> drawn;
  for (int64_t c = 0; c < classes; ++c) {
    if (taken[static_cast<size_t>(c)]) drawn.push_back(static_cast<int32_t>(c));
  }
  return drawn;
}

}  // namespace gsnet
