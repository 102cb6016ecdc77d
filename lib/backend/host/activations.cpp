// Activations of plain networks.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/host/host_backend.h"
#include "backend/host/indexing.h"
#include "backend/host/parallel.h"

namespace gsnet::host {

// Choices of values without branches, in the forms that compilers make vector instructions of; NaN stays.

template <class T>
void HostActivations<T>::clip(double low, double high, const Tensor& x, Tensor& y) {
  const T* from = x.data<T>();
  T* to = y.data<T>();
  const auto least = static_cast<T>(low), most = static_cast<T>(high);
  parallel_for(this->threads(), x.numel(), 2, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const T a = from[i], raised = least > a ? least : a;
      to[i] = most < raised ? most : raised;
    }
  });
}

template <class T>
void HostActivations<T>::clip_backward(double low, double high, const Tensor& x, const Tensor& dy, Tensor& dx) {
  const T* xd = x.data<T>();
  const T* given = dy.data<T>();
  T* to = dx.data<T>();
  const auto least = static_cast<T>(low), most = static_cast<T>(high);
  parallel_for(this->threads(), x.numel(), 2, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const T a = xd[i], g = given[i], above = a > least ? g : T{0};
      to[i] = a < most ? above : T{0};
    }
  });
}

template <class T>
void HostActivations<T>::prelu(const Tensor& x, const Tensor& slope, Tensor& y) {
  const auto [pixels, channels] = pixels_of(x);
  const T* slopes = slope.data<T>();
  parallel_for(this->threads(), pixels, 2 * channels, [&, channels = channels](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* from = x.data<T>() + p * channels;
      T* to = y.data<T>() + p * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) {
        const T a = from[c], above = a > 0 ? a : T{0}, below = a > 0 ? T{0} : a;
        to[c] = above + slopes[c] * below;
      }
    }
  });
}

namespace {

/// Pieces in which sums over pixels are made, whatever the threads.
constexpr int64_t kPieces = 16;

/// dx = dy where x > 0, else slope dy.
template <class T>
void prelu_inputs(int threads, const Tensor& x, const Tensor& slope, const Tensor& dy, Tensor& dx) {
  const auto [pixels, channels] = pixels_of(x);
  const T* slopes = slope.data<T>();
  parallel_for(threads, pixels, 2 * channels, [&, channels = channels](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* xd = x.data<T>() + p * channels;
      const T* given = dy.data<T>() + p * channels;
      T* to = dx.data<T>() + p * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) {
        const T a = xd[c], s = slopes[c], factor = a > 0 ? T{1} : s;
        to[c] = factor * given[c];
      }
    }
  });
}

/// dslope[c] = sum of x dy where x <= 0.
template <class T>
void prelu_slopes(int threads, const Tensor& x, const Tensor& dy, Tensor& dslope) {
  const auto [pixels, channels] = pixels_of(x);
  std::vector<double> partial(static_cast<size_t>(kPieces * channels));
  parallel_for(threads, kPieces, pixels * channels / kPieces + 1,
               [&, pixels = pixels, channels = channels](int64_t begin, int64_t end) {
                 for (int64_t piece = begin; piece < end; ++piece) {
                   double* sums = partial.data() + piece * channels;
                   for (int64_t p = pixels * piece / kPieces; p < pixels * (piece + 1) / kPieces; ++p) {
                     const T* xd = x.data<T>() + p * channels;
                     const T* given = dy.data<T>() + p * channels;
#pragma omp simd
                     for (int64_t c = 0; c < channels; ++c) {
                       const T a = xd[c], leak = a > 0 ? T{0} : a;
                       sums[c] += static_cast<double>(leak) * static_cast<double>(given[c]);
                     }
                   }
                 }
               });
  for (int64_t c = 0; c < channels; ++c) {
    double sum = 0;
    for (int64_t piece = 0; piece < kPieces; ++piece) sum += partial[static_cast<size_t>(piece * channels + c)];
    dslope.data<T>()[c] = static_cast<T>(sum);
  }
}

}  // namespace

template <class T>
void HostActivations<T>::prelu_backward(const Tensor& x, const Tensor& slope, const Tensor& dy, Tensor* dx,
                                        Tensor* dslope) {
  if (dx != nullptr) prelu_inputs<T>(this->threads(), x, slope, dy, *dx);
  if (dslope != nullptr) prelu_slopes<T>(this->threads(), x, dy, *dslope);
}

template <class T>
void HostActivations<T>::softmax(const Tensor& x, Tensor& y) {
  const auto [pixels, channels] = pixels_of(x);
  parallel_for(this->threads(), pixels, 16 * channels, [&, channels = channels](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* from = x.data<T>() + p * channels;
      T* to = y.data<T>() + p * channels;
      const T largest = *std::max_element(from, from + channels);
      double sum = 0;
      for (int64_t c = 0; c < channels; ++c) {
        to[c] = std::exp(from[c] - largest);
        sum += static_cast<double>(to[c]);
      }
      const auto scale = static_cast<T>(1 / sum);
      for (int64_t c = 0; c < channels; ++c) to[c] *= scale;
    }
  });
}

template <class T>
void HostActivations<T>::softmax_backward(const Tensor& y, const Tensor& dy, Tensor& dx) {
  const auto [pixels, channels] = pixels_of(y);
  parallel_for(this->threads(), pixels, 4 * channels, [&, channels = channels](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* probability = y.data<T>() + p * channels;
      const T* given = dy.data<T>() + p * channels;
      T* to = dx.data<T>() + p * channels;
      double mean = 0;
      for (int64_t c = 0; c < channels; ++c) {
        mean += static_cast<double>(probability[c]) * static_cast<double>(given[c]);
      }
      for (int64_t c = 0; c < channels; ++c) to[c] = probability[c] * (given[c] - static_cast<T>(mean));
    }
  });
}

template class HostActivations<float>;
template class HostActivations<double>;

}  // namespace gsnet::host
