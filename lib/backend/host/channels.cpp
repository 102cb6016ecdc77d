// Moving channels, pixels and rows.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "backend/host/host_backend.h"
#include "backend/host/indexing.h"
#include "backend/host/parallel.h"
#include "core/error.h"

namespace gsnet::host {

namespace {

/// Whether every output is one of a pair of neighbours that are neighbours in the input too.
bool moves_pairs(const ChannelMap& map) {
  const std::span<const int32_t> source = map.source();
  if (source.size() % 2 != 0) return false;
  for (size_t c = 0; c < source.size(); c += 2) {
    if (source[c] < 0 || source[c + 1] != source[c] + 1) return false;
  }
  return true;
}

void check_rows(std::span<const int32_t> index, int64_t rows) {
  for (const int32_t row : index) {
    GSNET_CHECK(row >= 0 && row < rows, fmt::format("[rows] row {} was asked for, there are {}", row, rows));
  }
}

}  // namespace

template <class T>
void HostChannels<T>::map_channels(const ChannelMap& map, const Tensor& x, Tensor& y) {
  const int64_t pixels = pixels_of(x).pixels, in = map.inputs(), out = map.outputs();
  const int32_t* source = map.source().data();
  const T* xd = x.data<T>();
  T* yd = y.data<T>();
  const bool pairs = moves_pairs(map);
  parallel_for(this->threads(), pixels, out, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* from = xd + p * in;
      T* to = yd + p * out;
      if (pairs) {
        for (int64_t c = 0; c < out; c += 2) std::memcpy(to + c, from + source[c], 2 * sizeof(T));
      } else {
        for (int64_t c = 0; c < out; ++c) to[c] = source[c] < 0 ? T{0} : from[source[c]];
      }
    }
  });
}

template <class T>
void HostChannels<T>::space_to_depth(int64_t block, const Tensor& x, Tensor& y) {
  const int64_t channels = x.shape()[1], width = x.shape()[3], rows = y.shape()[2], columns = y.shape()[3];
  parallel_for(this->threads(), y.shape()[0] * rows, columns * channels * block * block,
               [&](int64_t begin, int64_t end) {
                 for (int64_t line = begin; line < end; ++line) {
                   for (int64_t column = 0; column < columns; ++column) {
                     T* to = y.data<T>() + (line * columns + column) * channels * block * block;
                     for (int64_t u = 0; u < block; ++u) {
                       const T* from = x.data<T>() + ((line * block + u) * width + column * block) * channels;
                       for (int64_t v = 0; v < block; ++v) {
                         for (int64_t c = 0; c < channels; ++c)
                           to[c * block * block + u * block + v] = from[v * channels + c];
                       }
                     }
                   }
                 }
               });
}

template <class T>
void HostChannels<T>::depth_to_space(int64_t block, const Tensor& x, Tensor& y) {
  const int64_t channels = y.shape()[1], width = y.shape()[3], rows = x.shape()[2], columns = x.shape()[3];
  parallel_for(this->threads(), x.shape()[0] * rows, columns * channels * block * block,
               [&](int64_t begin, int64_t end) {
                 for (int64_t line = begin; line < end; ++line) {
                   for (int64_t column = 0; column < columns; ++column) {
                     const T* from = x.data<T>() + (line * columns + column) * channels * block * block;
                     for (int64_t u = 0; u < block; ++u) {
                       T* to = y.data<T>() + ((line * block + u) * width + column * block) * channels;
                       for (int64_t v = 0; v < block; ++v) {
                         for (int64_t c = 0; c < channels; ++c)
                           to[v * channels + c] = from[c * block * block + u * block + v];
                       }
                     }
                   }
                 }
               });
}

template <class T>
void HostChannels<T>::concat(std::span<const Tensor> x, Tensor& y) {
  const auto [pixels, channels] = pixels_of(y);
  parallel_for(this->threads(), pixels, channels, [&, channels = channels](int64_t begin, int64_t end) {
    int64_t first = 0;
    for (const Tensor& part : x) {
      const int64_t count = part.shape()[1];
      const T* from = part.data<T>();
      T* to = y.data<T>() + first;
      for (int64_t p = begin; p < end; ++p) std::copy_n(from + p * count, count, to + p * channels);
      first += count;
    }
  });
}

template <class T>
void HostChannels<T>::pad(const std::array<int64_t, 4>& sides, double value, const Tensor& x, Tensor& y) {
  const Shape xs = x.shape(), ys = y.shape();
  const int64_t channels = xs[1], width = ys[3] * channels, left = sides[1] * channels, row = xs[3] * channels;
  parallel_for(this->threads(), ys[0] * ys[2], width, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t n = line / ys[2], h = line % ys[2] - sides[0];
      T* to = y.data<T>() + line * width;
      const bool inside = h >= 0 && h < xs[2];
      std::fill_n(to, inside ? left : width, static_cast<T>(value));
      if (!inside) continue;
      std::copy_n(x.data<T>() + (n * xs[2] + h) * row, row, to + left);
      std::fill_n(to + left + row, width - left - row, static_cast<T>(value));
    }
  });
}

template <class T>
void HostChannels<T>::crop(const std::array<int64_t, 4>& sides, const Tensor& x, Tensor& y) {
  const Shape xs = x.shape(), ys = y.shape();
  const int64_t row = ys[3] * ys[1];
  parallel_for(this->threads(), ys[0] * ys[2], row, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t n = line / ys[2], h = line % ys[2] + sides[0];
      std::copy_n(x.data<T>() + ((n * xs[2] + h) * xs[3] + sides[1]) * ys[1], row, y.data<T>() + line * row);
    }
  });
}

namespace {

/// Elements between neighbours along each axis in memory; missing axes in front have extent 1.
std::array<int64_t, 4> strides_of(const Tensor& x) {
  const Shape& s = x.shape();
  std::array<int64_t, 4> strides{};
  if (x.layout() == Layout::channels_last) return {s[1] * s[2] * s[3], 1, s[3] * s[1], s[1]};
  int64_t stride = 1;
  for (int i = s.rank(); i-- > 0;) {
    strides[static_cast<size_t>(i + 4 - s.rank())] = stride;
    stride *= s[i];
  }
  return strides;
}

}  // namespace

template <class T>
void HostChannels<T>::permute(std::span<const int64_t> axes, const Tensor& x, Tensor& y) {
  const size_t missing = 4 - axes.size();
  const std::array<int64_t, 4> from = strides_of(x), to = strides_of(y);
  std::array<int64_t, 4> extents = {1, 1, 1, 1}, step{};
  for (size_t i = 0; i < axes.size(); ++i) {
    extents[missing + i] = y.shape()[static_cast<int>(i)];
    step[missing + i] = from[missing + static_cast<size_t>(axes[i])];
  }
  parallel_for(this->threads(), extents[0] * extents[1], extents[2] * extents[3], [&](int64_t begin, int64_t end) {
    for (int64_t outer = begin; outer < end; ++outer) {
      const int64_t a = outer / extents[1], b = outer % extents[1];
      for (int64_t c = 0; c < extents[2]; ++c) {
        const T* source = x.data<T>() + a * step[0] + b * step[1] + c * step[2];
        T* target = y.data<T>() + a * to[0] + b * to[1] + c * to[2];
        for (int64_t d = 0; d < extents[3]; ++d) target[d * to[3]] = source[d * step[3]];
      }
    }
  });
}

template <class T>
void HostChannels<T>::convert_layout(const Tensor& x, Tensor& y) {
  const Tensor converted = with_layout(x, y.layout());
  std::memcpy(y.raw(), converted.raw(), converted.bytes());
}

template <class T>
void HostChannels<T>::gather_rows(const Tensor& x, const Tensor& index, Tensor& y) {
  const int64_t rows = x.shape()[0], columns = x.shape()[1];
  const std::span<const int32_t> from = index.host<int32_t>();
  check_rows(from, rows);
  parallel_for(this->threads(), std::ssize(from), columns, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::copy_n(x.data<T>() + from[static_cast<size_t>(i)] * columns, columns, y.data<T>() + i * columns);
    }
  });
}

template <class T>
void HostChannels<T>::scatter_rows(const Tensor& dy, const Tensor& index, Tensor& dx) {
  const int64_t rows = dx.shape()[0], columns = dx.shape()[1];
  const std::span<const int32_t> to = index.host<int32_t>();
  check_rows(to, rows);
  std::ranges::fill(dx.host<T>(), T{0});
  for (size_t i = 0; i < to.size(); ++i) {
    const T* from = dy.data<T>() + static_cast<int64_t>(i) * columns;
    T* sum = dx.data<T>() + to[i] * columns;
    for (int64_t c = 0; c < columns; ++c) sum[c] += from[c];
  }
}

template class HostChannels<float>;
template class HostChannels<double>;

}  // namespace gsnet::host
