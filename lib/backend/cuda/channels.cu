// Moving channels, pixels and rows.
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/faults.h"
#include "backend/cuda/loops.h"

namespace gsnet::cuda {

void CudaBackend::map_channels(const ChannelMap& map, const Tensor& x, Tensor& y) {
  const int64_t in = map.inputs(), out = map.outputs();
  const int32_t* source = constant(map.source());
  const float* from = x.data<float>();
  float* to = y.data<float>();
  for_each(stream(), y.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int32_t channel = source[i % out];
    to[i] = channel < 0 ? 0.0F : from[i / out * in + channel];
  });
}

namespace {

/// Copies between (N, C b b, H/b, W/b) and (N, C, H, W): element i of the former is element `shallow` of the latter.
struct DepthMap {
  int64_t block, channels, columns;  ///< channels of the shallow side, columns of the deep one

  GSNET_DEVICE int64_t shallow(int64_t i) const {
    const int64_t deep = channels * block * block;
    return shallow(i / deep, i % deep);
  }
  GSNET_DEVICE int64_t shallow(int64_t pixel, int64_t channel) const {
    const int64_t c = channel / (block * block), u = channel / block % block, v = channel % block;
    const int64_t column = pixel % columns, line = pixel / columns;  // line: picture and row
    return ((line * block + u) * columns * block + column * block + v) * channels + c;
  }
};

}  // namespace

void CudaBackend::space_to_depth(int64_t block, const Tensor& x, Tensor& y) {
  const DepthMap map{block, x.shape()[1], y.shape()[3]};
  const float* from = x.data<float>();
  float* to = y.data<float>();
  for_each(stream(), y.numel(), [=] GSNET_DEVICE(int64_t i) { to[i] = from[map.shallow(i)]; });
}

namespace {

/// Channels of the deep side by `source`, -1: zeros.
void gather_deep(Stream stream, const DepthMap& map, const int32_t* source, const Tensor& x, Tensor& y) {
  const int64_t channels = y.shape()[1];
  const float* from = x.data<float>();
  float* to = y.data<float>();
  for_each(stream, y.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int32_t channel = source[i % channels];
    to[i] = channel < 0 ? 0.0F : from[map.shallow(i / channels, channel)];
  });
}

}  // namespace

void CudaBackend::enter(const Tensor& x, const SeriesEnds& ends, Tensor& inner) {
  if (ends.before->is_identity()) return space_to_depth(ends.block, x, inner);
  gather_deep(stream(), {ends.block, x.shape()[1], inner.shape()[3]}, constant(ends.before->source()), x, inner);
}

void CudaBackend::depth_to_space(int64_t block, const Tensor& x, Tensor& y) {
  const DepthMap map{block, y.shape()[1], x.shape()[3]};
  const float* from = x.data<float>();
  float* to = y.data<float>();
  for_each(stream(), x.numel(), [=] GSNET_DEVICE(int64_t i) { to[map.shallow(i)] = from[i]; });
}

void CudaBackend::concat(std::span<const Tensor> x, Tensor& y) {
  const int64_t all = y.shape()[1];
  float* to = y.data<float>();
  int64_t first = 0;
  for (const Tensor& part : x) {
    const int64_t count = part.shape()[1], start = first;
    const float* from = part.data<float>();
    for_each(stream(), part.numel(),
             [=] GSNET_DEVICE(int64_t i) { to[i / count * all + start + i % count] = from[i]; });
    first += count;
  }
}

void CudaBackend::pad(const std::array<int64_t, 4>& sides, double value, const Tensor& x, Tensor& y) {
  const int64_t channels = x.shape()[1], height = x.shape()[2], width = x.shape()[3];
  const int64_t rows = y.shape()[2], columns = y.shape()[3], top = sides[0], left = sides[1];
  const auto border = static_cast<float>(value);
  const float* from = x.data<float>();
  float* to = y.data<float>();
  for_each(stream(), y.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t c = i % channels, w = i / channels % columns - left, line = i / (channels * columns);
    const int64_t h = line % rows - top, n = line / rows;
    const bool inside = h >= 0 && h < height && w >= 0 && w < width;
    to[i] = inside ? from[((n * height + h) * width + w) * channels + c] : border;
  });
}

void CudaBackend::crop(const std::array<int64_t, 4>& sides, const Tensor& x, Tensor& y) {
  const int64_t channels = x.shape()[1], height = x.shape()[2], width = x.shape()[3];
  const int64_t rows = y.shape()[2], columns = y.shape()[3], top = sides[0], left = sides[1];
  const float* from = x.data<float>();
  float* to = y.data<float>();
  for_each(stream(), y.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t c = i % channels, w = i / channels % columns + left, line = i / (channels * columns);
    const int64_t h = line % rows + top, n = line / rows;
    to[i] = from[((n * height + h) * width + w) * channels + c];
  });
}

namespace {

/// Four axes, the missing ones in front of extent 1.
struct Axes {
  int64_t of[4];
};

Axes strides_of(const Tensor& x) {
  const Shape& s = x.shape();
  if (x.layout() == Layout::channels_last) return {{s[1] * s[2] * s[3], 1, s[3] * s[1], s[1]}};
  Axes strides{};
  int64_t stride = 1;
  for (int i = s.rank(); i-- > 0;) {
    strides.of[i + 4 - s.rank()] = stride;
    stride *= s[i];
  }
  return strides;
}

}  // namespace

void CudaBackend::permute(std::span<const int64_t> axes, const Tensor& x, Tensor& y) {
  const int missing = 4 - static_cast<int>(axes.size());
  const Axes source = strides_of(x), target = strides_of(y);
  Axes extents = {{1, 1, 1, 1}}, step{};
  for (size_t i = 0; i < axes.size(); ++i) {
    extents.of[missing + static_cast<int>(i)] = y.shape()[static_cast<int>(i)];
    step.of[missing + static_cast<int>(i)] = source.of[missing + static_cast<int>(axes[i])];
  }
  const float* from = x.data<float>();
  float* to = y.data<float>();
  for_each(stream(), y.numel(), [=] GSNET_DEVICE(int64_t i) {
    int64_t rest = i, read = 0, write = 0;
    for (int axis = 3; axis >= 0; --axis) {
      const int64_t at = rest % extents.of[axis];
      rest /= extents.of[axis];
      read += at * step.of[axis];
      write += at * target.of[axis];
    }
    to[write] = from[read];
  });
}

void CudaBackend::convert_layout(const Tensor& x, Tensor& y) {
  if (x.layout() == y.layout()) return copy(x, y);
  constexpr int64_t kSame[] = {0, 1, 2, 3};
  permute(kSame, x, y);
}

void CudaBackend::gather_rows(const Tensor& x, const Tensor& index, Tensor& y) {
  const int64_t rows = x.shape()[0], columns = x.shape()[1];
  const int32_t* row = index.data<int32_t>();
  const float* from = x.data<float>();
  float* to = y.data<float>();
  int32_t* noted = faults();
  for_each(stream(), y.numel(), [=] GSNET_DEVICE(int64_t i) {
    to[i] = from[index_at(row, i / columns, rows, Fault::row, noted) * columns + i % columns];
  });
}

// The first row that goes to a place adds up all that go there, in order.
void CudaBackend::scatter_rows(const Tensor& dy, const Tensor& index, Tensor& dx) {
  const int64_t rows = dx.shape()[0], columns = dx.shape()[1], count = index.numel();
  const int32_t* row = index.data<int32_t>();
  const float* from = dy.data<float>();
  float* to = dx.data<float>();
  int32_t* noted = faults();
  runtime_->clear(dx.raw(), dx.bytes());
  for_each(stream(), dy.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t first = i / columns, column = i % columns, place = index_at(row, first, rows, Fault::row, noted);
    for (int64_t j = 0; j < first; ++j) {
      if (row[j] == row[first]) return;
    }
    float total = 0;
    for (int64_t j = first; j < count; ++j) {
      if (row[j] == row[first]) total += from[j * columns + column];
    }
    to[place * columns + column] = total;
  });
}

}  // namespace gsnet::cuda
