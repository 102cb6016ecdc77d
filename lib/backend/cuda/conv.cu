// Convolutions by the library, and what it does not do: unequal padding, its order of filters, what comes after the
// sum.
#include <cmath>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/loops.h"

namespace gsnet::cuda {
namespace {

/// Filters (Co, Ci/g, Kh, Kw) in the order (Co, Kh, Kw, Ci/g).
Tensor filters(Runtime& runtime, const Tensor& w) {
  Tensor made = Tensor::empty(w.shape(), DType::f32, Layout::row_major, runtime.memory());
  const int64_t in = w.shape()[1], taps = w.shape()[2] * w.shape()[3];
  const float* from = w.data<float>();
  float* to = made.data<float>();
  for_each(runtime.stream(), w.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t c = i % in, tap = i / in % taps, o = i / (in * taps);
    to[i] = from[(o * in + c) * taps + tap];
  });
  return made;
}

/// And back.
void from_filters(Runtime& runtime, const Tensor& made, Tensor& w) {
  const int64_t in = w.shape()[1], taps = w.shape()[2] * w.shape()[3];
  const float* from = made.data<float>();
  float* to = w.data<float>();
  for_each(runtime.stream(), w.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t tap = i % taps, c = i / taps % in, o = i / (taps * in);
    to[i] = from[(o * taps + tap) * in + c];
  });
}

/// The same by plain loops, for what the library has no engine for. Filters (Co, Kh, Kw, Ci/g).
struct DirectConv {
  int64_t in, out, per, out_per, high, wide, height, width, rows, columns;
  int64_t stride[2], pad[2], dilation[2];

  explicit DirectConv(const Convolution& c)
      : in(c.x[1]),
        out(c.y[1]),
        per(c.w[1]),
        out_per(c.y[1] / c.spec.groups),
        high(c.w[2]),
        wide(c.w[3]),
        height(c.x[2]),
        width(c.x[3]),
        rows(c.y[2]),
        columns(c.y[3]),
        stride{c.spec.stride[0], c.spec.stride[1]},
        pad{c.spec.pad[0], c.spec.pad[1]},
        dilation{c.spec.dilation[0], c.spec.dilation[1]} {}

  GSNET_DEVICE int64_t input(int64_t n, int64_t h, int64_t w, int64_t c) const {
    return ((n * height + h) * width + w) * in + c;
  }
  GSNET_DEVICE int64_t output(int64_t n, int64_t h, int64_t w, int64_t c) const {
    return ((n * rows + h) * columns + w) * out + c;
  }
  GSNET_DEVICE int64_t filter(int64_t o, int64_t u, int64_t v, int64_t i) const {
    return ((o * high + u) * wide + v) * per + i;
  }
};

void direct_forward(Stream stream, const Convolution& c, const float* x, const float* w, float* y) {
  const DirectConv d(c);
  for_each(stream, c.y.numel(), [=] GSNET_DEVICE(int64_t element) {
    const int64_t o = element % d.out, column = element / d.out % d.columns;
    const int64_t row = element / (d.out * d.columns) % d.rows, n = element / (d.out * d.columns * d.rows);
    const int64_t first = o / d.out_per * d.per;
    float total = 0;
    for (int64_t u = 0; u < d.high; ++u) {
      const int64_t h = row * d.stride[0] - d.pad[0] + u * d.dilation[0];
      if (h < 0 || h >= d.height) continue;
      for (int64_t v = 0; v < d.wide; ++v) {
        const int64_t at = column * d.stride[1] - d.pad[1] + v * d.dilation[1];
        if (at < 0 || at >= d.width) continue;
        for (int64_t i = 0; i < d.per; ++i) total += x[d.input(n, h, at, first + i)] * w[d.filter(o, u, v, i)];
      }
    }
    y[element] = total;
  });
}

void direct_dgrad(Stream stream, const Convolution& c, const float* dy, const float* w, float* dx) {
  const DirectConv d(c);
  for_each(stream, c.x.numel(), [=] GSNET_DEVICE(int64_t element) {
    const int64_t channel = element % d.in, column = element / d.in % d.width;
    const int64_t row = element / (d.in * d.width) % d.height, n = element / (d.in * d.width * d.height);
    const int64_t first = channel / d.per * d.out_per;
    float total = 0;
    for (int64_t u = 0; u < d.high; ++u) {
      const int64_t down = row + d.pad[0] - u * d.dilation[0];
      if (down < 0 || down % d.stride[0] != 0 || down / d.stride[0] >= d.rows) continue;
      for (int64_t v = 0; v < d.wide; ++v) {
        const int64_t right = column + d.pad[1] - v * d.dilation[1];
        if (right < 0 || right % d.stride[1] != 0 || right / d.stride[1] >= d.columns) continue;
        for (int64_t o = first; o < first + d.out_per; ++o) {
          total += dy[d.output(n, down / d.stride[0], right / d.stride[1], o)] * w[d.filter(o, u, v, channel % d.per)];
        }
      }
    }
    dx[element] = total;
  });
}

void direct_wgrad(Stream stream, const Convolution& c, const float* x, const float* dy, float* dw) {
  const DirectConv d(c);
  for_rows<Sum>(
      stream, c.w.numel(), c.y[0] * c.y[2] * c.y[3],
      [=] GSNET_DEVICE(int64_t entry, int64_t pixel) {
        const int64_t i = entry % d.per, v = entry / d.per % d.wide, u = entry / (d.per * d.wide) % d.high;
        const int64_t o = entry / (d.per * d.wide * d.high);
        const int64_t column = pixel % d.columns, row = pixel / d.columns % d.rows, n = pixel / (d.columns * d.rows);
        const int64_t h = row * d.stride[0] - d.pad[0] + u * d.dilation[0];
        const int64_t at = column * d.stride[1] - d.pad[1] + v * d.dilation[1];
        if (h < 0 || h >= d.height || at < 0 || at >= d.width) return 0.0;
        return static_cast<double>(x[d.input(n, h, at, o / d.out_per * d.per + i)]) *
               static_cast<double>(dy[d.output(n, row, column, o)]);
      },
      [=] GSNET_DEVICE(int64_t entry, double total) { dw[entry] = static_cast<float>(total); });
}

bool even_padding(const ConvSpec& spec) { return spec.pad[0] == spec.pad[2] && spec.pad[1] == spec.pad[3]; }

Shape padded_shape(const Shape& x, const ConvSpec& spec) {
  return {x[0], x[1], x[2] + spec.pad[0] + spec.pad[2], x[3] + spec.pad[1] + spec.pad[3]};
}

ConvSpec without_padding(ConvSpec spec) {
  spec.pad = {0, 0, 0, 0};
  return spec;
}

/// An end by itself: y holds conv(x, w).
void finish(Stream stream, const ConvEnd& end, Tensor& y) {
  if (end.plain()) return;
  const int64_t channels = y.shape()[1];
  float* to = y.data<float>();
  for_each(stream, y.numel(), [=] GSNET_DEVICE(int64_t i) {
    float value = end.scale * to[i];
    if (end.bias != nullptr) value += end.bias[i % channels];
    if (end.addend != nullptr) value += end.addend[i];
    value = end.low > value ? end.low : value;
    to[i] = end.high < value ? end.high : value;
  });
}

/// y = x w', a group at a time: rows of pixels, columns of the group's output channels.
Product pointwise(const Shape& x, const Shape& w, int64_t groups) {
  const int64_t in = x[1], out = w[0];
  return {.batch = groups,
          .rows = x[0] * x[2] * x[3],
          .columns = out / groups,
          .inner = in / groups,
          .transpose_b = true,
          .step_a = in,
          .step_b = in / groups,
          .step_y = out,
          .stride_a = in / groups,
          .stride_b = out / groups * (in / groups),
          .stride_y = out / groups};
}

}  // namespace

void CudaBackend::convolve(const Tensor& x, const Tensor& w, const ConvSpec& spec, Precision precision,
                           const ConvEnd& end, Tensor& y) {
  if (y.numel() == 0) return;
  if (is_pointwise(w.shape(), spec)) {
    Product product = pointwise(x.shape(), w.shape(), spec.groups);
    product.precision = precision;
    runtime_->multiply(product, x.data<float>(), w.data<float>(), y.data<float>());
    return finish(stream(), end, y);
  }
  if (!even_padding(spec)) {
    Tensor padded = empty(padded_shape(x.shape(), spec), Layout::channels_last);
    pad(spec.pad, 0, x, padded);
    return convolve(padded, w, without_padding(spec), precision, end, y);
  }
  const Tensor filter = filters(*runtime_, w);
  const Convolution c{x.shape(), w.shape(), y.shape(), spec, precision};
  if (runtime_->conv_forward(c, end, x.data<float>(), filter.data<float>(), y.data<float>())) return;
  if (end.plain() || !runtime_->conv_forward(c, {}, x.data<float>(), filter.data<float>(), y.data<float>())) {
    direct_forward(stream(), c, x.data<float>(), filter.data<float>(), y.data<float>());
  }
  finish(stream(), end, y);
}

void CudaBackend::conv2d(const Tensor& x, const Tensor& w, const ConvEpilogue<Tensor>& after, const ConvSpec& spec,
                         Tensor& y) {
  convolve(x, w, spec, Precision::f32,
           {.bias = after.bias != nullptr ? after.bias->data<float>() : nullptr,
            .addend = after.addend != nullptr ? after.addend->data<float>() : nullptr,
            .low = static_cast<float>(after.low),
            .high = static_cast<float>(after.high)},
           y);
}

void CudaBackend::conv2d_dgrad(const Tensor& dy, const Tensor& w, const ConvSpec& spec, Tensor& dx) {
  if (dx.numel() == 0) return;
  if (dy.numel() == 0) return fill(0, dx);
  if (!even_padding(spec)) {
    Tensor padded = empty(padded_shape(dx.shape(), spec), Layout::channels_last);
    conv2d_dgrad(dy, w, without_padding(spec), padded);
    return crop(spec.pad, padded, dx);
  }
  const Tensor filter = filters(*runtime_, w);
  const Convolution c{dx.shape(), w.shape(), dy.shape(), spec};
  if (runtime_->conv_dgrad(c, dy.data<float>(), filter.data<float>(), dx.data<float>())) return;
  direct_dgrad(stream(), c, dy.data<float>(), filter.data<float>(), dx.data<float>());
}

void CudaBackend::conv2d_wgrad(const Tensor& x, const Tensor& dy, const ConvSpec& spec, Tensor& dw) {
  convolve_wgrad(x, dy, spec, Precision::f32, dw);
}

void CudaBackend::convolve_wgrad(const Tensor& x, const Tensor& dy, const ConvSpec& spec, Precision precision,
                                 Tensor& dw) {
  if (dw.numel() == 0) return;
  if (dy.numel() == 0) return fill(0, dw);
  if (!even_padding(spec)) {
    Tensor padded = empty(padded_shape(x.shape(), spec), Layout::channels_last);
    pad(spec.pad, 0, x, padded);
    return convolve_wgrad(padded, dy, without_padding(spec), precision, dw);
  }
  const Tensor filter = scratch(dw.shape());
  const Convolution c{x.shape(), dw.shape(), dy.shape(), spec, precision};
  if (!runtime_->conv_wgrad(c, x.data<float>(), dy.data<float>(), filter.data<float>())) {
    direct_wgrad(stream(), c, x.data<float>(), dy.data<float>(), filter.data<float>());
  }
  from_filters(*runtime_, filter, dw);
}

}  // namespace gsnet::cuda
