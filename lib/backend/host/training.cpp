// Reductions, losses, optimiser steps. Sums run over a fixed number of pieces, whatever the threads.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/host/host_backend.h"
#include "backend/host/indexing.h"
#include "backend/host/parallel.h"
#include "core/error.h"

namespace gsnet::host {
namespace {

constexpr int64_t kPieces = 16;

/// Sum over [0, count) of term(i), in double, in kPieces partial sums.
template <class Term>
double sum_of(int threads, int64_t count, Term&& term) {
  double partial[kPieces] = {};
  parallel_for(threads, kPieces, count / kPieces + 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      double sum = 0;
      for (int64_t i = count * piece / kPieces; i < count * (piece + 1) / kPieces; ++i) sum += term(i);
      partial[piece] = sum;
    }
  });
  double sum = 0;
  for (double part : partial) sum += part;
  return sum;
}

int32_t label_at(const Tensor& labels, int64_t n, int64_t classes) {
  const int32_t label = labels.data<int32_t>()[n];
  GSNET_CHECK(label >= 0 && label < classes,
              fmt::format("[loss] label {} of sample {} is outside [0, {})", label, n, classes));
  return label;
}

}  // namespace

template <class T>
void HostTraining<T>::sum_to_channels(const Tensor& x, Tensor& y) {
  const auto [pixels, channels] = pixels_of(x);
  std::vector<double> partial(static_cast<size_t>(kPieces * channels));
  parallel_for(this->threads(), kPieces, pixels * channels / kPieces + 1,
               [&, pixels = pixels, channels = channels](int64_t begin, int64_t end) {
                 for (int64_t piece = begin; piece < end; ++piece) {
                   double* sums = partial.data() + piece * channels;
                   for (int64_t p = pixels * piece / kPieces; p < pixels * (piece + 1) / kPieces; ++p) {
                     const T* from = x.data<T>() + p * channels;
                     for (int64_t c = 0; c < channels; ++c) sums[c] += static_cast<double>(from[c]);
                   }
                 }
               });
  for (int64_t c = 0; c < channels; ++c) {
    double sum = 0;
    for (int64_t piece = 0; piece < kPieces; ++piece) sum += partial[static_cast<size_t>(piece * channels + c)];
    y.data<T>()[c] = static_cast<T>(sum);
  }
}

template <class T>
void HostTraining<T>::sum(const Tensor& x, Tensor& y) {
  const T* from = x.data<T>();
  y.data<T>()[0] =
      static_cast<T>(sum_of(this->threads(), x.numel(), [&](int64_t i) { return static_cast<double>(from[i]); }));
}

template <class T>
double HostTraining<T>::sum_of_squares(const Tensor& x) {
  const T* from = x.data<T>();
  return sum_of(this->threads(), x.numel(), [&](int64_t i) {
    const auto value = static_cast<double>(from[i]);
    return value * value;
  });
}

template <class T>
void HostTraining<T>::row_norms(const Tensor& x, Tensor& y) {
  std::ranges::transform(sample_norms(x), y.data<T>(), [](double norm) { return static_cast<T>(norm); });
}

template <class T>
std::vector<double> HostTraining<T>::sample_norms(const Tensor& x) {
  const int64_t samples = x.shape()[0], each = samples == 0 ? 0 : x.numel() / samples;
  std::vector<double> norms(static_cast<size_t>(samples));
  parallel_for(this->threads(), samples, each, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T* from = x.data<T>() + n * each;
      double sum = 0;
      for (int64_t i = 0; i < each; ++i) sum += static_cast<double>(from[i]) * static_cast<double>(from[i]);
      norms[static_cast<size_t>(n)] = std::sqrt(sum);
    }
  });
  return norms;
}

template <class T>
void HostTraining<T>::cross_entropy(const CrossEntropySpec& spec, const Tensor& z, const Tensor& labels, Tensor& loss,
                                    Tensor& p) {
  const int64_t samples = z.shape()[0], classes = z.shape()[1];
  for (int64_t n = 0; n < samples; ++n) {
    const T* from = z.data<T>() + n * classes;
    T* to = p.data<T>() + n * classes;
    const int32_t label = label_at(labels, n, classes);
    const auto scaled = [&](int64_t j) {
      return (static_cast<double>(from[j]) - (j == label ? spec.offset : 0)) / spec.temperature;
    };
    double largest = scaled(0), sum = 0;
    for (int64_t j = 1; j < classes; ++j) largest = std::max(largest, scaled(j));
    for (int64_t j = 0; j < classes; ++j) sum += std::exp(scaled(j) - largest);
    for (int64_t j = 0; j < classes; ++j) to[j] = static_cast<T>(std::exp(scaled(j) - largest) / sum);
    loss.data<T>()[n] = static_cast<T>(spec.temperature * (std::log(sum) + largest - scaled(label)));
  }
}

template <class T>
void HostTraining<T>::cross_entropy_backward(const Tensor& p, const Tensor& labels, const Tensor& dloss, Tensor& dz) {
  const int64_t samples = p.shape()[0], classes = p.shape()[1];
  for (int64_t n = 0; n < samples; ++n) {
    const int32_t label = label_at(labels, n, classes);
    const T scale = dloss.data<T>()[n];
    for (int64_t j = 0; j < classes; ++j) {
      dz.data<T>()[n * classes + j] = (p.data<T>()[n * classes + j] - (j == label ? T{1} : T{0})) * scale;
    }
  }
}

template <class T>
void HostTraining<T>::margin(const Tensor& z, const Tensor& labels, Tensor& margin, Tensor& rival) {
  const int64_t samples = z.shape()[0], classes = z.shape()[1];
  GSNET_CHECK(classes >= 2, fmt::format("[margin] needs at least two classes, got {}", classes));
  for (int64_t n = 0; n < samples; ++n) {
    const T* from = z.data<T>() + n * classes;
    const int32_t label = label_at(labels, n, classes);
    int32_t best = label == 0 ? 1 : 0;
    for (int32_t j = best + 1; j < classes; ++j) {
      if (j != label && from[j] > from[best]) best = j;
    }
    margin.data<T>()[n] = from[label] - from[best];
    rival.data<int32_t>()[n] = best;
  }
}

template <class T>
void HostTraining<T>::margin_backward(const Tensor& labels, const Tensor& rival, const Tensor& dmargin, Tensor& dz) {
  const int64_t samples = dz.shape()[0], classes = dz.shape()[1];
  std::ranges::fill(dz.host<T>(), T{0});
  for (int64_t n = 0; n < samples; ++n) {
    dz.data<T>()[n * classes + label_at(labels, n, classes)] += dmargin.data<T>()[n];
    dz.data<T>()[n * classes + rival.data<int32_t>()[n]] -= dmargin.data<T>()[n];
  }
}

template <class T>
void HostTraining<T>::sgd_step(const SgdSpec& spec, const Tensor& pace, const Tensor& dw, Tensor& w, Tensor& v) {
  const auto rate = static_cast<T>(static_cast<double>(pace.data<T>()[0]) * spec.rate_factor);
  const auto momentum = static_cast<T>(spec.momentum);
  const auto decay = static_cast<T>(spec.weight_decay);
  const T* gradient = dw.data<T>();
  T* weight = w.data<T>();
  T* velocity = v.data<T>();
  parallel_for(this->threads(), w.numel(), 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T g = gradient[i] + decay * weight[i];
      velocity[i] = momentum * velocity[i] + g;
      weight[i] -= rate * (spec.nesterov ? g + momentum * velocity[i] : velocity[i]);
    }
  });
}

template <class T>
void HostTraining<T>::adamw_step(const AdamWSpec& spec, const Tensor& pace, const Tensor& dw, Tensor& w, Tensor& m,
                                 Tensor& v) {
  const double whole_rate = static_cast<double>(pace.data<T>()[0]) * spec.rate_factor;
  const auto beta1 = static_cast<T>(spec.beta1), beta2 = static_cast<T>(spec.beta2);
  const auto rate = static_cast<T>(whole_rate * static_cast<double>(pace.data<T>()[1]));
  const T root = pace.data<T>()[2];
  const auto epsilon = static_cast<T>(spec.epsilon), decay = static_cast<T>(1 - whole_rate * spec.weight_decay);
  const T* gradient = dw.data<T>();
  T* weight = w.data<T>();
  T* first = m.data<T>();
  T* second = v.data<T>();
  parallel_for(this->threads(), w.numel(), 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T g = gradient[i];
      first[i] = beta1 * first[i] + (1 - beta1) * g;
      second[i] = beta2 * second[i] + (1 - beta2) * g * g;
      weight[i] = decay * weight[i] - rate * first[i] / (std::sqrt(second[i]) * root + epsilon);
    }
  });
}

template class HostTraining<float>;
template class HostTraining<double>;

}  // namespace gsnet::host
