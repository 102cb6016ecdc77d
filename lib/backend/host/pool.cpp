// Pooling windows.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "backend/host/host_backend.h"
#include "backend/host/parallel.h"

namespace gsnet::host {
namespace {

/// The part of an output pixel's window that lies inside the picture.
struct Window {
  int64_t top, bottom, left, right;
  int64_t count() const { return (bottom - top) * (right - left); }
};

Window window_at(const PoolSpec& spec, const Shape& x, int64_t row, int64_t column) {
  const int64_t top = row * spec.stride[0] - spec.pad[0], left = column * spec.stride[1] - spec.pad[1];
  return {std::max<int64_t>(top, 0), std::min(top + spec.kernel[0], x[2]), std::max<int64_t>(left, 0),
          std::min(left + spec.kernel[1], x[3])};
}

double divisor(const PoolSpec& spec, const Window& window) {
  return static_cast<double>(spec.count_pad ? spec.kernel[0] * spec.kernel[1] : window.count());
}

}  // namespace

template <class T>
void HostPool<T>::pool(const PoolSpec& spec, const Tensor& x, Tensor& y) {
  const Shape xs = x.shape(), ys = y.shape();
  const int64_t channels = xs[1];
  parallel_for(this->threads(), ys[0] * ys[2], ys[3] * channels * spec.kernel[0] * spec.kernel[1],
               [&](int64_t begin, int64_t end) {
                 for (int64_t line = begin; line < end; ++line) {
                   const int64_t n = line / ys[2], row = line % ys[2];
                   for (int64_t column = 0; column < ys[3]; ++column) {
                     const Window window = window_at(spec, xs, row, column);
                     T* to = y.data<T>() + (line * ys[3] + column) * channels;
                     std::fill_n(to, channels, spec.kind == PoolKind::max ? -std::numeric_limits<T>::infinity() : T{0});
                     for (int64_t h = window.top; h < window.bottom; ++h) {
                       for (int64_t w = window.left; w < window.right; ++w) {
                         const T* from = x.data<T>() + ((n * xs[2] + h) * xs[3] + w) * channels;
                         for (int64_t c = 0; c < channels; ++c) {
                           if (spec.kind == PoolKind::max) {
                             to[c] = std::max(to[c], from[c]);
                           } else {
                             to[c] += spec.kind == PoolKind::l2 ? from[c] * from[c] : from[c];
                           }
                         }
                       }
                     }
                     const auto scale = static_cast<T>(1 / divisor(spec, window));
                     for (int64_t c = 0; c < channels && spec.kind != PoolKind::max; ++c) {
                       to[c] = spec.kind == PoolKind::l2 ? std::sqrt(to[c]) : to[c] * scale;
                     }
                   }
                 }
               });
}

template <class T>
void HostPool<T>::pool_backward(const PoolSpec& spec, const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx) {
  const Shape xs = x.shape(), ys = y.shape();
  const int64_t channels = xs[1], image = xs[2] * xs[3] * channels;
  parallel_for(this->threads(), xs[0], image * 4, [&](int64_t begin, int64_t end) {
    std::memset(dx.data<T>() + begin * image, 0, static_cast<size_t>((end - begin) * image) * sizeof(T));
    for (int64_t pixel = begin * ys[2] * ys[3]; pixel < end * ys[2] * ys[3]; ++pixel) {
      const int64_t n = pixel / (ys[2] * ys[3]);
      const Window window = window_at(spec, xs, pixel / ys[3] % ys[2], pixel % ys[3]);
      const auto scale = static_cast<T>(1 / divisor(spec, window));
      for (int64_t c = 0; c < channels; ++c) {
        const T given = dy.data<T>()[pixel * channels + c], value = y.data<T>()[pixel * channels + c];
        bool taken = false;
        for (int64_t h = window.top; h < window.bottom; ++h) {
          for (int64_t w = window.left; w < window.right; ++w) {
            const int64_t at = ((n * xs[2] + h) * xs[3] + w) * channels + c;
            if (spec.kind == PoolKind::average) {
              dx.data<T>()[at] += given * scale;
            } else if (spec.kind == PoolKind::l2) {
              if (value > 0) dx.data<T>()[at] += given * x.data<T>()[at] / value;
            } else if (!taken && x.data<T>()[at] == value) {
              dx.data<T>()[at] += given;
              taken = true;
            }
          }
        }
      }
    }
  });
}

template class HostPool<float>;
template class HostPool<double>;

}  // namespace gsnet::host
