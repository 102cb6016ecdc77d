// Activations.
#include <cmath>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/loops.h"
#include "backend/cuda/sums.h"

namespace gsnet::cuda {

void CudaBackend::clip(double low, double high, const Tensor& x, Tensor& y) {
  const float* from = x.data<float>();
  float* to = y.data<float>();
  const auto least = static_cast<float>(low), most = static_cast<float>(high);
  for_each(stream(), x.numel(), [=] GSNET_DEVICE(int64_t i) {
    const float a = from[i], raised = least > a ? least : a;
    to[i] = most < raised ? most : raised;
  });
}

void CudaBackend::clip_backward(double low, double high, const Tensor& x, const Tensor& dy, Tensor& dx) {
  const float* from = x.data<float>();
  const float* given = dy.data<float>();
  float* to = dx.data<float>();
  const auto least = static_cast<float>(low), most = static_cast<float>(high);
  for_each(stream(), x.numel(),
           [=] GSNET_DEVICE(int64_t i) { to[i] = from[i] > least && from[i] < most ? given[i] : 0.0F; });
}

void CudaBackend::prelu(const Tensor& x, const Tensor& slope, Tensor& y) {
  const float* from = x.data<float>();
  const float* slopes = slope.data<float>();
  float* to = y.data<float>();
  const int64_t channels = x.shape()[1];
  for_each(stream(), x.numel(),
           [=] GSNET_DEVICE(int64_t i) { to[i] = from[i] > 0 ? from[i] : slopes[i % channels] * from[i]; });
}

void CudaBackend::prelu_backward(const Tensor& x, const Tensor& slope, const Tensor& dy, Tensor* dx, Tensor* dslope) {
  const float* from = x.data<float>();
  const float* given = dy.data<float>();
  const auto [pixels, channels_of_x] = pixels_of(x);
  const int64_t channels = channels_of_x;
  if (dx != nullptr) {
    const float* slopes = slope.data<float>();
    float* to = dx->data<float>();
    for_each(stream(), x.numel(),
             [=] GSNET_DEVICE(int64_t i) { to[i] = from[i] > 0 ? given[i] : slopes[i % channels] * given[i]; });
  }
  if (dslope == nullptr) return;
  const auto term = [=] GSNET_DEVICE(int64_t p, int64_t c) {
    const double a = from[p * channels + c];
    return a > 0 ? 0.0 : a * static_cast<double>(given[p * channels + c]);
  };
  sum_over_pixels(*runtime_, pixels, channels, term, *dslope);
}

void CudaBackend::softmax(const Tensor& x, Tensor& y) {
  const float* from = x.data<float>();
  const auto [pixels, channels_of_x] = pixels_of(x);
  const int64_t channels = channels_of_x;
  const auto logit = [=] GSNET_DEVICE(int64_t p, int64_t c) { return static_cast<double>(from[p * channels + c]); };
  softmax_of_rows(*runtime_, pixels, channels, logit, y);
}

void CudaBackend::softmax_backward(const Tensor& y, const Tensor& dy, Tensor& dx) {
  const float* probability = y.data<float>();
  const float* given = dy.data<float>();
  float* to = dx.data<float>();
  const auto [pixels, channels_of_y] = pixels_of(y);
  const int64_t channels = channels_of_y;
  const Tensor means = dots_of_rows(*runtime_, pixels, channels, probability, given);
  const double* mean = means.data<double>();
  for_each(stream(), y.numel(), [=] GSNET_DEVICE(int64_t i) {
    to[i] = probability[i] * (given[i] - static_cast<float>(mean[i / channels]));
  });
}

namespace {

/// Offsets of the two channels of a pair within a pixel.
struct PairAt {
  int64_t first, second;
};

GSNET_DEVICE inline PairAt pair_at(bool halves, int64_t pair, int64_t channels) {
  if (halves) return {pair, pair + channels / 2};
  return {2 * pair, 2 * pair + 1};
}

}  // namespace

void CudaBackend::maxmin(const MaxMinSpec& spec, const Tensor& x, Tensor& y) {
  const float* from = x.data<float>();
  float* to = y.data<float>();
  const int64_t channels = x.shape()[1];
  const bool halves = spec.pairing == Pairing::halves, max_first = spec.order == PairOrder::max_first;
  for_each(stream(), x.numel() / 2, [=] GSNET_DEVICE(int64_t i) {
    const int64_t pixel = i / (channels / 2) * channels;
    const PairAt at = pair_at(halves, i % (channels / 2), channels);
    const float a = from[pixel + at.first], b = from[pixel + at.second];
    const float high = a < b ? b : a, low = a < b ? a : b;
    to[pixel + at.first] = max_first ? high : low;
    to[pixel + at.second] = max_first ? low : high;
  });
}

void CudaBackend::maxmin_backward(const MaxMinSpec& spec, const Tensor& x, const Tensor& dy, Tensor& dx) {
  const float* from = x.data<float>();
  const float* given = dy.data<float>();
  float* to = dx.data<float>();
  const int64_t channels = x.shape()[1];
  const bool halves = spec.pairing == Pairing::halves, max_first = spec.order == PairOrder::max_first;
  for_each(stream(), x.numel() / 2, [=] GSNET_DEVICE(int64_t i) {
    const int64_t pixel = i / (channels / 2) * channels;
    const PairAt at = pair_at(halves, i % (channels / 2), channels);
    const float a = from[pixel + at.first], b = from[pixel + at.second];
    const float ga = given[pixel + at.first], gb = given[pixel + at.second];
    const bool swapped = max_first ? a < b : b < a;
    to[pixel + at.first] = swapped ? gb : ga;
    to[pixel + at.second] = swapped ? ga : gb;
  });
}

void CudaBackend::maxmin_order(const MaxMinSpec& spec, const Tensor& x, Tensor& order) {
  const float* from = x.data<float>();
  int32_t* words = order.data<int32_t>();
  const int64_t channels = x.shape()[1], pairs = x.numel() / 2;
  const bool halves = spec.pairing == Pairing::halves, max_first = spec.order == PairOrder::max_first;
  for_each(stream(), order.numel(), [=] GSNET_DEVICE(int64_t word) {
    uint32_t bits = 0;
    for (int64_t i = 32 * word; i < pairs && i < 32 * word + 32; ++i) {
      const int64_t pixel = i / (channels / 2) * channels;
      const PairAt at = pair_at(halves, i % (channels / 2), channels);
      const float a = from[pixel + at.first], b = from[pixel + at.second];
      const bool swapped = max_first ? a < b : b < a;
      bits |= (swapped ? 1U : 0U) << (i % 32);
    }
    words[word] = static_cast<int32_t>(bits);
  });
}

void CudaBackend::exchange_pairs(Pairing pairing, const Tensor& order, const Tensor& x, Tensor& y) {
  const float* from = x.data<float>();
  const int32_t* words = order.data<int32_t>();
  float* to = y.data<float>();
  const int64_t channels = x.shape()[1];
  const bool halves = pairing == Pairing::halves;
  for_each(stream(), x.numel() / 2, [=] GSNET_DEVICE(int64_t i) {
    const int64_t pixel = i / (channels / 2) * channels;
    const PairAt at = pair_at(halves, i % (channels / 2), channels);
    const float a = from[pixel + at.first], b = from[pixel + at.second];
    const bool swapped = (static_cast<uint32_t>(words[i / 32]) >> (i % 32) & 1U) != 0;
    to[pixel + at.first] = swapped ? b : a;
    to[pixel + at.second] = swapped ? a : b;
  });
}

namespace {

/// Where element i of a run goes in descending order, equal ones keeping theirs.
GSNET_DEVICE inline int64_t rank_in(const float* run, int64_t size, int64_t i) {
  int64_t rank = 0;
  for (int64_t j = 0; j < size; ++j) rank += run[j] > run[i] || (run[j] == run[i] && j < i) ? 1 : 0;
  return rank;
}

}  // namespace

void CudaBackend::group_sort(int64_t size, const Tensor& x, Tensor& y) {
  const float* from = x.data<float>();
  float* to = y.data<float>();
  for_each(stream(), x.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t run = i / size * size;
    to[run + rank_in(from + run, size, i - run)] = from[i];
  });
}

void CudaBackend::group_sort_backward(int64_t size, const Tensor& x, const Tensor& dy, Tensor& dx) {
  const float* from = x.data<float>();
  const float* given = dy.data<float>();
  float* to = dx.data<float>();
  for_each(stream(), x.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t run = i / size * size;
    to[i] = given[run + rank_in(from + run, size, i - run)];
  });
}

void CudaBackend::householder(Pairing pairing, const Tensor& x, const Tensor& theta, Tensor& y) {
  const float* from = x.data<float>();
  const float* angle = theta.data<float>();
  float* to = y.data<float>();
  const int64_t channels = x.shape()[1];
  const bool halves = pairing == Pairing::halves;
  for_each(stream(), x.numel() / 2, [=] GSNET_DEVICE(int64_t i) {
    const int64_t pair = i % (channels / 2), pixel = i / (channels / 2) * channels;
    const PairAt at = pair_at(halves, pair, channels);
    const float a = from[pixel + at.first], b = from[pixel + at.second], t = angle[pair];
    const bool reflect = a * sinf(t / 2) - b * cosf(t / 2) > 0;
    to[pixel + at.first] = reflect ? a * cosf(t) + b * sinf(t) : a;
    to[pixel + at.second] = reflect ? a * sinf(t) - b * cosf(t) : b;
  });
}

void CudaBackend::householder_backward(Pairing pairing, const Tensor& x, const Tensor& theta, const Tensor& dy,
                                       Tensor& dx, Tensor& dtheta) {
  const float* from = x.data<float>();
  const float* given = dy.data<float>();
  const float* angle = theta.data<float>();
  float* to = dx.data<float>();
  const auto [pixels, channels_of_x] = pixels_of(x);
  const int64_t channels = channels_of_x;
  const bool halves = pairing == Pairing::halves;
  for_each(stream(), x.numel() / 2, [=] GSNET_DEVICE(int64_t i) {
    const int64_t pair = i % (channels / 2), pixel = i / (channels / 2) * channels;
    const PairAt at = pair_at(halves, pair, channels);
    const float a = from[pixel + at.first], b = from[pixel + at.second], t = angle[pair];
    const float ga = given[pixel + at.first], gb = given[pixel + at.second];
    const bool reflect = a * sinf(t / 2) - b * cosf(t / 2) > 0;
    to[pixel + at.first] = reflect ? cosf(t) * ga + sinf(t) * gb : ga;
    to[pixel + at.second] = reflect ? sinf(t) * ga - cosf(t) * gb : gb;
  });
  const auto slope = [=] GSNET_DEVICE(int64_t p, int64_t pair) {
    const PairAt at = pair_at(halves, pair, channels);
    const float a = from[p * channels + at.first], b = from[p * channels + at.second], t = angle[pair];
    const float ga = given[p * channels + at.first], gb = given[p * channels + at.second];
    const bool reflect = a * sinf(t / 2) - b * cosf(t / 2) > 0;
    const float c = cosf(t), s = sinf(t);
    return reflect ? static_cast<double>(ga * (b * c - a * s) + gb * (a * c + b * s)) : 0.0;
  };
  sum_over_pixels(*runtime_, pixels, channels / 2, slope, dtheta);
}

}  // namespace gsnet::cuda
