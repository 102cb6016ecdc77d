// Softmax over cosines with a margin on the true class.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "backend/host/host_backend.h"
#include "backend/host/parallel.h"
#include "core/error.h"

namespace gsnet::host {
namespace {

constexpr double kLeastSine = 1e-3;

/// A cosine after the margin, and the derivative of that to the cosine.
struct Moved {
  double cosine, slope;
};

Moved move(const MarginSoftmaxSpec& spec, double cosine, double raise, double lower) {
  if (spec.easy && !(cosine > 0)) return {cosine, 1};
  if (spec.multiply == 1 && raise == 0) return {cosine - lower, 1};
  const double theta = std::acos(std::clamp(cosine, -1.0, 1.0)), wanted = spec.multiply * theta + raise;
  const double t = std::max(wanted, 0.0), k = std::floor(t / std::numbers::pi);
  const double phi = (std::fmod(k, 2) == 0 ? std::cos(t) : -std::cos(t)) - 2 * k;
  const double steepness = spec.multiply * std::abs(std::sin(t)) / std::max(std::sin(theta), kLeastSine);
  return {phi - lower, spec.plain_gradient ? 1 : wanted > 0 ? steepness : 0};
}

}  // namespace

template <class T>
void HostTraining<T>::margin_softmax(const MarginSoftmaxSpec& spec, const Tensor& z, const Tensor& labels,
                                     const Tensor& raise, const Tensor& lower, Tensor& loss, Tensor& p, Tensor& slope) {
  const int64_t samples = z.shape()[0], classes = z.shape()[1];
  for (const int32_t label : labels.host<int32_t>()) {
    GSNET_CHECK(label >= 0 && label < classes, fmt::format("[loss] label {} is outside [0, {})", label, classes));
  }
  parallel_for(this->threads(), samples, 16 * classes, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T* from = z.data<T>() + n * classes;
      T* to = p.data<T>() + n * classes;
      const int32_t label = labels.data<int32_t>()[n];
      const Moved moved = move(spec, static_cast<double>(from[label]), static_cast<double>(raise.data<T>()[n]),
                               static_cast<double>(lower.data<T>()[n]));
      const auto logit = [&](int64_t j) {
        return spec.scale * (j == label ? moved.cosine : static_cast<double>(from[j]));
      };
      double largest = logit(0), sum = 0;
      for (int64_t j = 1; j < classes; ++j) largest = std::max(largest, logit(j));
      for (int64_t j = 0; j < classes; ++j) sum += std::exp(logit(j) - largest);
      for (int64_t j = 0; j < classes; ++j) to[j] = static_cast<T>(std::exp(logit(j) - largest) / sum);
      loss.data<T>()[n] = static_cast<T>(std::log(sum) + largest - logit(label));
      slope.data<T>()[n] = static_cast<T>(moved.slope);
    }
  });
}

template <class T>
void HostTraining<T>::margin_softmax_backward(const MarginSoftmaxSpec& spec, const Tensor& p, const Tensor& slope,
                                              const Tensor& labels, const Tensor& dloss, Tensor& dz) {
  const int64_t samples = p.shape()[0], classes = p.shape()[1];
  parallel_for(this->threads(), samples, classes, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T* from = p.data<T>() + n * classes;
      T* to = dz.data<T>() + n * classes;
      const int32_t label = labels.data<int32_t>()[n];
      const T scale = static_cast<T>(spec.scale) * dloss.data<T>()[n];
      for (int64_t j = 0; j < classes; ++j) to[j] = scale * from[j];
      to[label] = scale * slope.data<T>()[n] * (from[label] - T{1});
    }
  });
}

// The class is instantiated as a whole in training.cpp; these members are here.
template void HostTraining<float>::margin_softmax(const MarginSoftmaxSpec&, const Tensor&, const Tensor&, const Tensor&,
                                                  const Tensor&, Tensor&, Tensor&, Tensor&);
template void HostTraining<double>::margin_softmax(const MarginSoftmaxSpec&, const Tensor&, const Tensor&,
                                                   const Tensor&, const Tensor&, Tensor&, Tensor&, Tensor&);
template void HostTraining<float>::margin_softmax_backward(const MarginSoftmaxSpec&, const Tensor&, const Tensor&,
                                                           const Tensor&, const Tensor&, Tensor&);
template void HostTraining<double>::margin_softmax_backward(const MarginSoftmaxSpec&, const Tensor&, const Tensor&,
                                                            const Tensor&, const Tensor&, Tensor&);

}  // namespace gsnet::host
