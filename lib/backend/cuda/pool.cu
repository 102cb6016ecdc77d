// Pooling windows. The backward pass gathers: every input element asks the windows that hold it.
#include <cmath>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/loops.h"

namespace gsnet::cuda {
namespace {

struct Windows {
  int64_t channels, height, width, rows, columns;
  int64_t kernel[2], stride[2], pad[2];
  bool average, l2, count_pad;

  Windows(const PoolSpec& spec, const Shape& x, const Shape& y)
      : channels(x[1]),
        height(x[2]),
        width(x[3]),
        rows(y[2]),
        columns(y[3]),
        kernel{spec.kernel[0], spec.kernel[1]},
        stride{spec.stride[0], spec.stride[1]},
        pad{spec.pad[0], spec.pad[1]},
        average(spec.kind == PoolKind::average),
        l2(spec.kind == PoolKind::l2),
        count_pad(spec.count_pad) {}

  struct Range {
    int64_t top, bottom, left, right;
  };
  /// The part of an output pixel's window inside the picture.
  GSNET_DEVICE Range at(int64_t row, int64_t column) const {
    const int64_t top = row * stride[0] - pad[0], left = column * stride[1] - pad[1];
    const int64_t bottom = top + kernel[0], right = left + kernel[1];
    return {top > 0 ? top : 0, bottom < height ? bottom : height, left > 0 ? left : 0, right < width ? right : width};
  }
  GSNET_DEVICE float share(const Range& r) const {
    const int64_t count = count_pad ? kernel[0] * kernel[1] : (r.bottom - r.top) * (r.right - r.left);
    return static_cast<float>(1.0 / static_cast<double>(count));
  }
  GSNET_DEVICE int64_t input(int64_t n, int64_t h, int64_t w, int64_t c) const {
    return ((n * height + h) * width + w) * channels + c;
  }
  /// Output rows (or columns) whose windows hold row h: [first, last].
  GSNET_DEVICE static int64_t first_of(int64_t h, int64_t kernel, int64_t stride, int64_t pad) {
    const int64_t past = h + pad - kernel;  // the last window that ends before h
    return past < 0 ? 0 : past / stride + 1;
  }
  GSNET_DEVICE static int64_t last_of(int64_t h, int64_t stride, int64_t pad, int64_t count) {
    const int64_t last = (h + pad) / stride;
    return last < count - 1 ? last : count - 1;
  }
};

/// Whether no element of the window before (h, w) has the largest value, which (h, w) has.
GSNET_DEVICE inline bool is_first(const Windows& windows, const Windows::Range& r, const float* x, int64_t n, int64_t h,
                                  int64_t w, int64_t c, float largest) {
  if (x[windows.input(n, h, w, c)] != largest) return false;
  for (int64_t u = r.top; u <= h; ++u) {
    for (int64_t v = r.left; v < (u == h ? w : r.right); ++v) {
      if (x[windows.input(n, u, v, c)] == largest) return false;
    }
  }
  return true;
}

}  // namespace

void CudaBackend::pool(const PoolSpec& spec, const Tensor& x, Tensor& y) {
  const Windows windows(spec, x.shape(), y.shape());
  const float* from = x.data<float>();
  float* to = y.data<float>();
  for_each(stream(), y.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t c = i % windows.channels, pixel = i / windows.channels;
    const int64_t n = pixel / (windows.rows * windows.columns);
    const Windows::Range r = windows.at(pixel / windows.columns % windows.rows, pixel % windows.columns);
    const bool is_max = !windows.average && !windows.l2;
    float total = is_max ? -INFINITY : 0.0F;
    for (int64_t h = r.top; h < r.bottom; ++h) {
      for (int64_t w = r.left; w < r.right; ++w) {
        const float value = from[windows.input(n, h, w, c)];
        if (is_max) {
          total = total < value ? value : total;
        } else {
          total += windows.l2 ? value * value : value;
        }
      }
    }
    to[i] = is_max ? total : windows.l2 ? sqrtf(total) : total * windows.share(r);
  });
}

void CudaBackend::pool_backward(const PoolSpec& spec, const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx) {
  const Windows windows(spec, x.shape(), y.shape());
  const float* from = x.data<float>();
  const float* result = y.data<float>();
  const float* given = dy.data<float>();
  float* to = dx.data<float>();
  for_each(stream(), x.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t c = i % windows.channels, pixel = i / windows.channels;
    const int64_t w = pixel % windows.width, h = pixel / windows.width % windows.height;
    const int64_t n = pixel / (windows.width * windows.height);
    float total = 0;
    for (int64_t row = Windows::first_of(h, windows.kernel[0], windows.stride[0], windows.pad[0]);
         row <= Windows::last_of(h, windows.stride[0], windows.pad[0], windows.rows); ++row) {
      for (int64_t column = Windows::first_of(w, windows.kernel[1], windows.stride[1], windows.pad[1]);
           column <= Windows::last_of(w, windows.stride[1], windows.pad[1], windows.columns); ++column) {
        const int64_t out = ((n * windows.rows + row) * windows.columns + column) * windows.channels + c;
        const Windows::Range r = windows.at(row, column);
        if (windows.average) {
          total += given[out] * windows.share(r);
        } else if (windows.l2) {
          if (result[out] > 0) total += given[out] * from[i] / result[out];
        } else if (is_first(windows, r, from, n, h, w, c, result[out])) {
          total += given[out];
        }
      }
    }
    to[i] = total;
  });
}

}  // namespace gsnet::cuda
