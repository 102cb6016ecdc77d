// Reductions, losses, optimiser steps.
#include <cmath>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/faults.h"
#include "backend/cuda/loops.h"
#include "backend/cuda/sums.h"
#include "core/error.h"

namespace gsnet::cuda {

void CudaBackend::sum_to_channels(const Tensor& x, Tensor& y) {
  const float* from = x.data<float>();
  const auto [pixels, channels_of_x] = pixels_of(x);
  const int64_t channels = channels_of_x;
  const auto term = [=] GSNET_DEVICE(int64_t p, int64_t c) { return static_cast<double>(from[p * channels + c]); };
  sum_over_pixels(*runtime_, pixels, channels, term, y);
}

void CudaBackend::sum(const Tensor& x, Tensor& y) {
  const float* from = x.data<float>();
  const Tensor total = sums_of_rows(*runtime_, 1, x.numel(),
                                    [=] GSNET_DEVICE(int64_t, int64_t i) { return static_cast<double>(from[i]); });
  narrow(*runtime_, total, y);
}

double CudaBackend::sum_of_squares(const Tensor& x) {
  const float* from = x.data<float>();
  const Tensor total = dots_of_rows(*runtime_, 1, x.numel(), from, from);
  double sum = 0;
  runtime_->to_host(&sum, total.raw(), sizeof(sum));
  throw_faults();
  return sum;
}

void CudaBackend::row_norms(const Tensor& x, Tensor& y) {
  const int64_t rows = y.numel();
  if (rows == 0) return;
  const Tensor squares = dots_of_rows(*runtime_, rows, x.numel() / rows, x.data<float>(), x.data<float>());
  const double* square = squares.data<double>();
  float* to = y.data<float>();
  for_each(stream(), rows, [=] GSNET_DEVICE(int64_t row) { to[row] = static_cast<float>(sqrt(square[row])); });
}

std::vector<double> CudaBackend::sample_norms(const Tensor& x) {
  const int64_t samples = x.shape()[0], each = samples == 0 ? 0 : x.numel() / samples;
  std::vector<double> norms(static_cast<size_t>(samples));
  if (samples == 0) return norms;
  const Tensor squares = dots_of_rows(*runtime_, samples, each, x.data<float>(), x.data<float>());
  runtime_->to_host(norms.data(), squares.raw(), squares.bytes());
  for (double& norm : norms) norm = std::sqrt(norm);
  throw_faults();
  return norms;
}

void CudaBackend::cross_entropy(const CrossEntropySpec& spec, const Tensor& z, const Tensor& labels, Tensor& loss,
                                Tensor& p) {
  const int64_t samples = z.shape()[0], classes = z.shape()[1];
  const float* from = z.data<float>();
  const int32_t* label_of = labels.data<int32_t>();
  float* losses = loss.data<float>();
  int32_t* noted = faults();
  const double offset = spec.offset, temperature = spec.temperature;
  const auto logit = [=] GSNET_DEVICE(int64_t n, int64_t j) {
    return (static_cast<double>(from[n * classes + j]) - (j == label_of[n] ? offset : 0)) / temperature;
  };
  const RowSoftmax rows = softmax_of_rows(*runtime_, samples, classes, logit, p);
  const double* largest = rows.largest.data<double>();
  const double* sum = rows.sum.data<double>();
  for_each(stream(), samples, [=] GSNET_DEVICE(int64_t n) {
    const int32_t label = index_at(label_of, n, classes, Fault::label, noted);
    losses[n] = static_cast<float>(temperature * (log(sum[n]) + largest[n] - logit(n, label)));
  });
}

void CudaBackend::cross_entropy_backward(const Tensor& p, const Tensor& labels, const Tensor& dloss, Tensor& dz) {
  const int64_t classes = p.shape()[1];
  const float* probability = p.data<float>();
  const int32_t* label_of = labels.data<int32_t>();
  const float* given = dloss.data<float>();
  float* to = dz.data<float>();
  for_each(stream(), p.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t n = i / classes;
    to[i] = (probability[i] - (i % classes == label_of[n] ? 1.0F : 0.0F)) * given[n];
  });
}

void CudaBackend::margin(const Tensor& z, const Tensor& labels, Tensor& margin, Tensor& rival) {
  const int64_t samples = z.shape()[0], classes = z.shape()[1];
  if (classes < 2) throw Error("[margin] needs at least two classes");
  const float* from = z.data<float>();
  const int32_t* label_of = labels.data<int32_t>();
  float* margins = margin.data<float>();
  int32_t* rivals = rival.data<int32_t>();
  int32_t* noted = faults();
  for_each(stream(), samples, [=] GSNET_DEVICE(int64_t n) {
    const float* row = from + n * classes;
    const int32_t label = index_at(label_of, n, classes, Fault::label, noted);
    int32_t best = label == 0 ? 1 : 0;
    for (int32_t j = best + 1; j < classes; ++j) {
      if (j != label && row[j] > row[best]) best = j;
    }
    margins[n] = row[label] - row[best];
    rivals[n] = best;
  });
}

void CudaBackend::margin_backward(const Tensor& labels, const Tensor& rival, const Tensor& dmargin, Tensor& dz) {
  const int64_t classes = dz.shape()[1];
  const int32_t* label_of = labels.data<int32_t>();
  const int32_t* rivals = rival.data<int32_t>();
  const float* given = dmargin.data<float>();
  float* to = dz.data<float>();
  for_each(stream(), dz.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t n = i / classes, j = i % classes;
    to[i] = (j == label_of[n] ? given[n] : 0.0F) - (j == rivals[n] ? given[n] : 0.0F);
  });
}

namespace {

/// A cosine after the margin, and the derivative of that to the cosine (backend/loss.h).
struct Moved {
  double cosine, slope;
};

GSNET_DEVICE inline Moved move(const MarginSoftmaxSpec& spec, double cosine, double raise, double lower) {
  if (spec.easy && !(cosine > 0)) return {cosine, 1};
  if (spec.multiply == 1 && raise == 0) return {cosine - lower, 1};
  constexpr double kPi = 3.14159265358979323846, kLeastSine = 1e-3;
  const double held = cosine < -1 ? -1 : cosine > 1 ? 1 : cosine;
  const double theta = acos(held), wanted = spec.multiply * theta + raise;
  const double t = wanted > 0 ? wanted : 0, k = floor(t / kPi);
  const double phi = (fmod(k, 2.0) == 0 ? cos(t) : -cos(t)) - 2 * k;
  const double sine = sin(theta), steepness = spec.multiply * fabs(sin(t)) / (sine > kLeastSine ? sine : kLeastSine);
  return {phi - lower, spec.plain_gradient ? 1 : wanted > 0 ? steepness : 0};
}

}  // namespace

void CudaBackend::margin_softmax(const MarginSoftmaxSpec& spec, const Tensor& z, const Tensor& labels,
                                 const Tensor& raise, const Tensor& lower, Tensor& loss, Tensor& p, Tensor& slope) {
  const int64_t samples = z.shape()[0], classes = z.shape()[1];
  const float* from = z.data<float>();
  const float* raised = raise.data<float>();
  const float* lowered = lower.data<float>();
  const int32_t* label_of = labels.data<int32_t>();
  float* losses = loss.data<float>();
  float* slopes = slope.data<float>();
  int32_t* noted = faults();
  const MarginSoftmaxSpec settings = spec;
  const Tensor moved_cosines = scratch({samples}, DType::f64);
  double* moved = moved_cosines.data<double>();
  for_each(stream(), samples, [=] GSNET_DEVICE(int64_t n) {
    const int32_t label = index_at(label_of, n, classes, Fault::label, noted);
    const Moved made = move(settings, from[n * classes + label], raised[n], lowered[n]);
    moved[n] = made.cosine;
    slopes[n] = static_cast<float>(made.slope);
  });
  const auto logit = [=] GSNET_DEVICE(int64_t n, int64_t j) {
    return settings.scale * (j == label_of[n] ? moved[n] : static_cast<double>(from[n * classes + j]));
  };
  const RowSoftmax rows = softmax_of_rows(*runtime_, samples, classes, logit, p);
  const double* largest = rows.largest.data<double>();
  const double* sum = rows.sum.data<double>();
  for_each(stream(), samples, [=] GSNET_DEVICE(int64_t n) {
    losses[n] = static_cast<float>(log(sum[n]) + largest[n] - settings.scale * moved[n]);
  });
}

void CudaBackend::margin_softmax_backward(const MarginSoftmaxSpec& spec, const Tensor& p, const Tensor& slope,
                                          const Tensor& labels, const Tensor& dloss, Tensor& dz) {
  const int64_t classes = p.shape()[1];
  const float* probability = p.data<float>();
  const float* slopes = slope.data<float>();
  const int32_t* label_of = labels.data<int32_t>();
  const float* given = dloss.data<float>();
  float* to = dz.data<float>();
  const auto scale = static_cast<float>(spec.scale);
  for_each(stream(), p.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t n = i / classes;
    const bool is_label = i % classes == label_of[n];
    to[i] = scale * given[n] * (is_label ? slopes[n] * (probability[i] - 1.0F) : probability[i]);
  });
}

void CudaBackend::sgd_step(const SgdSpec& spec, const Tensor& pace, const Tensor& dw, Tensor& w, Tensor& v) {
  const auto momentum = static_cast<float>(spec.momentum), decay = static_cast<float>(spec.weight_decay);
  const double factor = spec.rate_factor;
  const float* numbers = pace.data<float>();
  const bool nesterov = spec.nesterov;
  const float* gradient = dw.data<float>();
  float* weight = w.data<float>();
  float* velocity = v.data<float>();
  for_each(stream(), w.numel(), [=] GSNET_DEVICE(int64_t i) {
    const float g = gradient[i] + decay * weight[i];
    velocity[i] = momentum * velocity[i] + g;
    const auto rate = static_cast<float>(static_cast<double>(numbers[0]) * factor);
    weight[i] -= rate * (nesterov ? g + momentum * velocity[i] : velocity[i]);
  });
}

void CudaBackend::adamw_step(const AdamWSpec& spec, const Tensor& pace, const Tensor& dw, Tensor& w, Tensor& m,
                             Tensor& v) {
  const auto beta1 = static_cast<float>(spec.beta1), beta2 = static_cast<float>(spec.beta2);
  const auto epsilon = static_cast<float>(spec.epsilon);
  const double factor = spec.rate_factor, weight_decay = spec.weight_decay;
  const float* numbers = pace.data<float>();
  const float* gradient = dw.data<float>();
  float* weight = w.data<float>();
  float* first = m.data<float>();
  float* second = v.data<float>();
  for_each(stream(), w.numel(), [=] GSNET_DEVICE(int64_t i) {
    const double whole_rate = static_cast<double>(numbers[0]) * factor;
    const auto rate = static_cast<float>(whole_rate * static_cast<double>(numbers[1]));
    const auto decay = static_cast<float>(1 - whole_rate * weight_decay);
    const float g = gradient[i], root = numbers[2];
    first[i] = beta1 * first[i] + (1 - beta1) * g;
    second[i] = beta2 * second[i] + (1 - beta2) * g * g;
    weight[i] = decay * weight[i] - rate * first[i] / (sqrtf(second[i]) * root + epsilon);
  });
}

}  // namespace gsnet::cuda
