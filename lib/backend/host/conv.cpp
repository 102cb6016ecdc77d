// Direct convolution, and the power series composed from it.
#include <cstring>

#include "backend/host/host_backend.h"
#include "backend/host/parallel.h"

namespace gsnet::host {
namespace {

/// Calls body(tap row, tap column, input row, input column) for the taps of output pixel (h, w) inside the picture.
template <class Body>
void for_taps(const Shape& x, const Shape& w, const ConvSpec& spec, int64_t row, int64_t column, Body&& body) {
  const int64_t height = x[2], width = x[3];
  for (int64_t u = 0; u < w[2]; ++u) {
    const int64_t h = row * spec.stride[0] - spec.pad[0] + u * spec.dilation[0];
    if (h < 0 || h >= height) continue;
    for (int64_t v = 0; v < w[3]; ++v) {
      const int64_t at = column * spec.stride[1] - spec.pad[1] + v * spec.dilation[1];
      if (at >= 0 && at < width) body(u, v, h, at);
    }
  }
}

}  // namespace

template <class T>
void HostConv<T>::conv2d(const Tensor& x, const Tensor& w, const ConvEpilogue<Tensor>& after, const ConvSpec& spec,
                         Tensor& y) {
  const Shape xs = x.shape(), ws = w.shape(), ys = y.shape();
  const int64_t out = ys[1], in = xs[1], per = ws[1], out_per = out / spec.groups, taps = ws[2] * ws[3];
  const T* xd = x.data<T>();
  const T* wd = w.data<T>();
  const T* bd = after.bias != nullptr ? after.bias->data<T>() : nullptr;
  const T* added = after.addend != nullptr ? after.addend->data<T>() : nullptr;
  const T low = static_cast<T>(after.low), high = static_cast<T>(after.high);
  T* yd = y.data<T>();
  parallel_for(this->threads(), ys[0] * ys[2], ys[3] * out * per * taps, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t n = line / ys[2], row = line % ys[2];
      for (int64_t column = 0; column < ys[3]; ++column) {
        T* to = yd + (line * ys[3] + column) * out;
        for (int64_t o = 0; o < out; ++o) to[o] = bd != nullptr ? bd[o] : T{0};
        for_taps(xs, ws, spec, row, column, [&](int64_t u, int64_t v, int64_t h, int64_t at) {
          const T* from = xd + ((n * xs[2] + h) * xs[3] + at) * in;
          for (int64_t o = 0; o < out; ++o) {
            const T* taps_of = wd + o * per * taps + u * ws[3] + v;
            const T* source = from + o / out_per * per;
            T sum = 0;
            for (int64_t i = 0; i < per; ++i) sum += source[i] * taps_of[i * taps];
            to[o] += sum;
          }
        });
        for (int64_t o = 0; added != nullptr && o < out; ++o) to[o] += added[to - yd + o];
        for (int64_t o = 0; after.clips() && o < out; ++o) to[o] = to[o] < low ? low : to[o] > high ? high : to[o];
      }
    }
  });
}

template <class T>
void HostConv<T>::conv2d_dgrad(const Tensor& dy, const Tensor& w, const ConvSpec& spec, Tensor& dx) {
  const Shape xs = dx.shape(), ws = w.shape(), ys = dy.shape();
  const int64_t out = ys[1], in = xs[1], per = ws[1], out_per = out / spec.groups, taps = ws[2] * ws[3];
  const T* wd = w.data<T>();
  const T* dyd = dy.data<T>();
  T* dxd = dx.data<T>();
  parallel_for(this->threads(), ys[0], ys[2] * ys[3] * out * per * taps, [&](int64_t begin, int64_t end) {
    std::memset(dxd + begin * xs[2] * xs[3] * in, 0,
                static_cast<size_t>((end - begin) * xs[2] * xs[3] * in) * sizeof(T));
    for (int64_t pixel = begin * ys[2] * ys[3]; pixel < end * ys[2] * ys[3]; ++pixel) {
      const int64_t n = pixel / (ys[2] * ys[3]), row = pixel / ys[3] % ys[2], column = pixel % ys[3];
      const T* from = dyd + pixel * out;
      for_taps(xs, ws, spec, row, column, [&](int64_t u, int64_t v, int64_t h, int64_t at) {
        T* to = dxd + ((n * xs[2] + h) * xs[3] + at) * in;
        for (int64_t o = 0; o < out; ++o) {
          const T* taps_of = wd + o * per * taps + u * ws[3] + v;
          T* target = to + o / out_per * per;
          for (int64_t i = 0; i < per; ++i) target[i] += from[o] * taps_of[i * taps];
        }
      });
    }
  });
}

template <class T>
void HostConv<T>::conv2d_wgrad(const Tensor& x, const Tensor& dy, const ConvSpec& spec, Tensor& dw) {
  const Shape xs = x.shape(), ws = dw.shape(), ys = dy.shape();
  const int64_t out = ys[1], in = xs[1], per = ws[1], out_per = out / spec.groups, taps = ws[2] * ws[3];
  const T* xd = x.data<T>();
  const T* dyd = dy.data<T>();
  T* dwd = dw.data<T>();
  const int64_t pixels = ys[0] * ys[2] * ys[3];
  parallel_for(this->threads(), out, pixels * per * taps, [&](int64_t begin, int64_t end) {
    std::memset(dwd + begin * per * taps, 0, static_cast<size_t>((end - begin) * per * taps) * sizeof(T));
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      const int64_t n = pixel / (ys[2] * ys[3]), row = pixel / ys[3] % ys[2], column = pixel % ys[3];
      for_taps(xs, ws, spec, row, column, [&](int64_t u, int64_t v, int64_t h, int64_t at) {
        const T* from = xd + ((n * xs[2] + h) * xs[3] + at) * in;
        for (int64_t o = begin; o < end; ++o) {
          T* to = dwd + o * per * taps + u * ws[3] + v;
          const T* source = from + o / out_per * per;
          const T scale = dyd[pixel * out + o];
          for (int64_t i = 0; i < per; ++i) to[i * taps] += scale * source[i];
        }
      });
    }
  });
}

template <class T>
void HostConv<T>::conv_exp(const Tensor& x, const Tensor& k, const SeriesSpec& spec, Tensor& y, SeriesSaved* saved) {
  composed_series(*this, x, k, spec, y, saved);
}

template <class T>
void HostConv<T>::conv_exp_backward(const Tensor& x, Tensor k, const SeriesSpec& spec, const SeriesSaved& saved,
                                    const Tensor& dy, Tensor* dx, Tensor* dk) {
  composed_series_backward(*this, x, k, spec, saved, dy, dx, dk);
}

template class HostConv<float>;
template class HostConv<double>;

}  // namespace gsnet::host
