// Elementwise loops and activations.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "backend/host/host_backend.h"
#include "backend/host/indexing.h"
#include "backend/host/parallel.h"

namespace gsnet::host {
namespace {

/// Offsets of the two channels of pair p.
struct PairAt {
  int64_t first, second;
};

PairAt pair_at(Pairing pairing, int64_t p, int64_t channels) {
  return pairing == Pairing::halves ? PairAt{p, p + channels / 2} : PairAt{2 * p, 2 * p + 1};
}

}  // namespace

template <class T>
void HostEltwise<T>::fill(double value, Tensor& y) {
  std::ranges::fill(y.host<T>(), static_cast<T>(value));
}

template <class T>
void HostEltwise<T>::copy(const Tensor& x, Tensor& y) {
  std::memcpy(y.raw(), x.raw(), x.bytes());
}

template <class T>
void HostEltwise<T>::unary(UnaryOp op, const Tensor& x, Tensor& y) {
  const T* from = x.data<T>();
  T* to = y.data<T>();
  const auto apply = [&](auto&& function) {
    parallel_for(this->threads(), x.numel(), 2, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = function(from[i]);
    });
  };
  switch (op) {
    case UnaryOp::relu:
      return apply([](T a) { return a > 0 ? a : T{0}; });
    case UnaryOp::abs:
      return apply([](T a) { return std::fabs(a); });
    case UnaryOp::square:
      return apply([](T a) { return a * a; });
    case UnaryOp::sqrt:
      return apply([](T a) { return std::sqrt(a); });
    case UnaryOp::exp:
      return apply([](T a) { return std::exp(a); });
    case UnaryOp::log:
      return apply([](T a) { return std::log(a); });
    case UnaryOp::reciprocal:
      return apply([](T a) { return T{1} / a; });
    case UnaryOp::sigmoid:
      return apply([](T a) { return T{1} / (T{1} + std::exp(-a)); });
    case UnaryOp::tanh:
      return apply([](T a) { return std::tanh(a); });
  }
}

template <class T>
void HostEltwise<T>::unary_backward(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx) {
  const T* xd = x.data<T>();
  const T* yd = y.data<T>();
  const T* given = dy.data<T>();
  T* to = dx.data<T>();
  const auto apply = [&](auto&& derivative) {
    parallel_for(this->threads(), x.numel(), 2, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = given[i] * derivative(xd[i], yd[i]);
    });
  };
  switch (op) {
    case UnaryOp::relu:
      return apply([](T a, T) { return a > 0 ? T{1} : T{0}; });
    case UnaryOp::abs:
      return apply([](T a, T) { return static_cast<T>((a > 0) - (a < 0)); });
    case UnaryOp::square:
      return apply([](T a, T) { return 2 * a; });
    case UnaryOp::sqrt:
      return apply([](T, T b) { return T{0.5} / b; });
    case UnaryOp::exp:
      return apply([](T, T b) { return b; });
    case UnaryOp::log:
      return apply([](T a, T) { return T{1} / a; });
    case UnaryOp::reciprocal:
      return apply([](T, T b) { return -b * b; });
    case UnaryOp::sigmoid:
      return apply([](T, T b) { return b * (1 - b); });
    case UnaryOp::tanh:
      return apply([](T, T b) { return 1 - b * b; });
  }
}

template <class T>
void HostEltwise<T>::binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) {
  const T* ad = a.data<T>();
  const T* bd = b.data<T>();
  T* to = y.data<T>();
  const auto apply = [&](auto&& function) {
    parallel_for(this->threads(), a.numel(), 2, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = function(ad[i], bd[i]);
    });
  };
  switch (op) {
    case BinaryOp::add:
      return apply([](T p, T q) { return p + q; });
    case BinaryOp::subtract:
      return apply([](T p, T q) { return p - q; });
    case BinaryOp::multiply:
      return apply([](T p, T q) { return p * q; });
  }
}

template <class T>
void HostEltwise<T>::axpby(double alpha, const Tensor& x, double beta, const Tensor& z, Tensor& y) {
  const T* xd = x.data<T>();
  const T* zd = z.data<T>();
  T* to = y.data<T>();
  const auto a = static_cast<T>(alpha), b = static_cast<T>(beta);
  parallel_for(this->threads(), x.numel(), 2, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = a * xd[i] + b * zd[i];
  });
}

template <class T>
void HostEltwise<T>::scale(double alpha, const Tensor& x, Tensor& y) {
  const T* from = x.data<T>();
  T* to = y.data<T>();
  const auto a = static_cast<T>(alpha);
  parallel_for(this->threads(), x.numel(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = a * from[i];
  });
}

template <class T>
void HostEltwise<T>::add_bias(const Tensor& x, const Tensor& b, Tensor& y) {
  const auto [pixels, channels] = pixels_of(x);
  const T* bias = b.data<T>();
  parallel_for(this->threads(), pixels, channels, [&, channels = channels](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* from = x.data<T>() + p * channels;
      T* to = y.data<T>() + p * channels;
      for (int64_t c = 0; c < channels; ++c) to[c] = from[c] + bias[c];
    }
  });
}

template <class T>
void HostEltwise<T>::scale_channels(const Tensor& x, const Tensor& a, Tensor& y) {
  const auto [pixels, channels] = pixels_of(x);
  const T* scale = a.data<T>();
  parallel_for(this->threads(), pixels, channels, [&, channels = channels](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* from = x.data<T>() + p * channels;
      T* to = y.data<T>() + p * channels;
      for (int64_t c = 0; c < channels; ++c) to[c] = scale[c] * from[c];
    }
  });
}

template <class T>
void HostEltwise<T>::scale_shift(const Tensor& x, const Tensor& a, const Tensor& b, Tensor& y) {
  const auto [pixels, channels] = pixels_of(x);
  const T* scale = a.data<T>();
  const T* shift = b.data<T>();
  parallel_for(this->threads(), pixels, 2 * channels, [&, channels = channels](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* from = x.data<T>() + p * channels;
      T* to = y.data<T>() + p * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) to[c] = scale[c] * from[c] + shift[c];
    }
  });
}

template <class T>
void HostEltwise<T>::scale_maps(const Tensor& x, const Tensor& a, Tensor& y) {
  const auto [pixels, channels] = pixels_of(x);
  const int64_t area = x.shape()[2] * x.shape()[3];
  parallel_for(this->threads(), pixels, channels, [&, channels = channels](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* scale = a.data<T>() + p / area * channels;
      const T* from = x.data<T>() + p * channels;
      T* to = y.data<T>() + p * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) to[c] = scale[c] * from[c];
    }
  });
}

template <class T>
void HostEltwise<T>::maxmin(const MaxMinSpec& spec, const Tensor& x, Tensor& y) {
  const auto [pixels, channels] = pixels_of(x);
  const bool max_first = spec.order == PairOrder::max_first;
  parallel_for(this->threads(), pixels, channels, [&, channels = channels](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* from = x.data<T>() + p * channels;
      T* to = y.data<T>() + p * channels;
      for (int64_t i = 0; i < channels / 2; ++i) {
        const auto [first, second] = pair_at(spec.pairing, i, channels);
        const T a = from[first], b = from[second];
        const T high = a < b ? b : a, low = a < b ? a : b;
        to[first] = max_first ? high : low;
        to[second] = max_first ? low : high;
      }
    }
  });
}

template <class T>
void HostEltwise<T>::maxmin_backward(const MaxMinSpec& spec, const Tensor& x, const Tensor& dy, Tensor& dx) {
  const auto [pixels, channels] = pixels_of(x);
  const bool max_first = spec.order == PairOrder::max_first;
  parallel_for(this->threads(), pixels, channels, [&, channels = channels](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* from = x.data<T>() + p * channels;
      const T* given = dy.data<T>() + p * channels;
      T* to = dx.data<T>() + p * channels;
      for (int64_t i = 0; i < channels / 2; ++i) {
        const auto [first, second] = pair_at(spec.pairing, i, channels);
        const T x0 = from[first], x1 = from[second], d0 = given[first], d1 = given[second];
        const bool swapped = max_first ? x0 < x1 : x1 < x0;  // a choice of values, no branch: it is anybody's guess
        to[first] = swapped ? d1 : d0;
        to[second] = swapped ? d0 : d1;
      }
    }
  });
}

template <class T>
void HostEltwise<T>::maxmin_order(const MaxMinSpec& spec, const Tensor& x, Tensor& order) {
  const int64_t channels = pixels_of(x).channels, pairs = x.numel() / 2;
  const bool max_first = spec.order == PairOrder::max_first;
  parallel_for(this->threads(), order.numel(), 32, [&](int64_t begin, int64_t end) {
    for (int64_t word = begin; word < end; ++word) {
      uint32_t bits = 0;
      for (int64_t i = 32 * word; i < std::min(pairs, 32 * word + 32); ++i) {
        const auto [first, second] = pair_at(spec.pairing, i % (channels / 2), channels);
        const T* from = x.data<T>() + i / (channels / 2) * channels;
        const bool swapped = max_first ? from[first] < from[second] : from[second] < from[first];
        bits |= static_cast<uint32_t>(swapped) << (i % 32);
      }
      order.data<int32_t>()[word] = static_cast<int32_t>(bits);
    }
  });
}

template <class T>
void HostEltwise<T>::exchange_pairs(Pairing pairing, const Tensor& order, const Tensor& x, Tensor& y) {
  const auto [pixels, channels] = pixels_of(x);
  const int32_t* words = order.data<int32_t>();
  parallel_for(this->threads(), pixels, channels, [&, channels = channels](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* from = x.data<T>() + p * channels;
      T* to = y.data<T>() + p * channels;
      for (int64_t c = 0; c < channels / 2; ++c) {
        const int64_t i = p * (channels / 2) + c;
        const auto [first, second] = pair_at(pairing, c, channels);
        const T a = from[first], b = from[second];
        const bool swapped = (static_cast<uint32_t>(words[i / 32]) >> (i % 32) & 1U) != 0;
        to[first] = swapped ? b : a;
        to[second] = swapped ? a : b;
      }
    }
  });
}

namespace {

/// order = positions of the run's elements, largest first, equal ones in their order.
template <class T>
void descending(const T* run, std::vector<int64_t>& order) {
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int64_t a, int64_t b) { return run[a] > run[b]; });
}

}  // namespace

template <class T>
void HostEltwise<T>::group_sort(int64_t size, const Tensor& x, Tensor& y) {
  parallel_for(this->threads(), x.numel() / size, size * 8, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> order(static_cast<size_t>(size));
    for (int64_t run = begin; run < end; ++run) {
      const T* from = x.data<T>() + run * size;
      descending(from, order);
      for (int64_t i = 0; i < size; ++i) y.data<T>()[run * size + i] = from[order[static_cast<size_t>(i)]];
    }
  });
}

template <class T>
void HostEltwise<T>::group_sort_backward(int64_t size, const Tensor& x, const Tensor& dy, Tensor& dx) {
  parallel_for(this->threads(), x.numel() / size, size * 8, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> order(static_cast<size_t>(size));
    for (int64_t run = begin; run < end; ++run) {
      descending(x.data<T>() + run * size, order);
      T* to = dx.data<T>() + run * size;
      for (int64_t i = 0; i < size; ++i) to[order[static_cast<size_t>(i)]] = dy.data<T>()[run * size + i];
    }
  });
}

template <class T>
void HostEltwise<T>::householder(Pairing pairing, const Tensor& x, const Tensor& theta, Tensor& y) {
  const auto [pixels, channels] = pixels_of(x);
  const T* angle = theta.data<T>();
  for (int64_t p = 0; p < pixels; ++p) {
    const T* from = x.data<T>() + p * channels;
    T* to = y.data<T>() + p * channels;
    for (int64_t i = 0; i < channels / 2; ++i) {
      const auto [first, second] = pair_at(pairing, i, channels);
      const T a = from[first], b = from[second], t = angle[i];
      const bool reflect = a * std::sin(t / 2) - b * std::cos(t / 2) > 0;
      to[first] = reflect ? a * std::cos(t) + b * std::sin(t) : a;
      to[second] = reflect ? a * std::sin(t) - b * std::cos(t) : b;
    }
  }
}

template <class T>
void HostEltwise<T>::householder_backward(Pairing pairing, const Tensor& x, const Tensor& theta, const Tensor& dy,
                                          Tensor& dx, Tensor& dtheta) {
  const auto [pixels, channels] = pixels_of(x);
  const T* angle = theta.data<T>();
  std::vector<double> sums(static_cast<size_t>(channels / 2));
  for (int64_t p = 0; p < pixels; ++p) {
    const T* from = x.data<T>() + p * channels;
    const T* given = dy.data<T>() + p * channels;
    T* to = dx.data<T>() + p * channels;
    for (int64_t i = 0; i < channels / 2; ++i) {
      const auto [first, second] = pair_at(pairing, i, channels);
      const T a = from[first], b = from[second], t = angle[i], ga = given[first], gb = given[second];
      const bool reflect = a * std::sin(t / 2) - b * std::cos(t / 2) > 0;
      const T c = std::cos(t), s = std::sin(t);
      to[first] = reflect ? c * ga + s * gb : ga;
      to[second] = reflect ? s * ga - c * gb : gb;
      if (reflect) sums[static_cast<size_t>(i)] += static_cast<double>(ga * (b * c - a * s) + gb * (a * c + b * s));
    }
  }
  for (size_t i = 0; i < sums.size(); ++i) dtheta.data<T>()[i] = static_cast<T>(sums[i]);
}

template class HostEltwise<float>;
template class HostEltwise<double>;

}  // namespace gsnet::host
