// Shape rules and small value types of the kernel families.
#include <fmt/format.h>

#include <algorithm>

#include "backend/backend.h"
#include "core/error.h"

namespace gsnet {

Tensor Backend::empty(const Shape& shape, Layout layout) const {
  return Tensor::empty(shape, dtype(), layout, memory());
}

std::unique_ptr<Recording> Backend::record(const std::function<void()>&, const Recording*, std::string*) {
  return nullptr;
}

Tensor Backend::empty_like(const Tensor& x) const { return Tensor::empty(x.shape(), x.dtype(), x.layout(), memory()); }

void Backend::conv_exp_between(const Tensor& x, const Tensor& k, const SeriesSpec& spec, const SeriesEnds& ends,
                               Tensor& y, SeriesSaved* saved) {
  const Tensor inner = series_input(*this, x, ends);
  const bool cut = !ends.after->is_identity();
  Tensor whole = cut ? empty_like(inner) : y;
  conv_exp(inner, k, spec, whole, saved);
  if (cut) map_channels(*ends.after, whole, y);
  if (ends.bias != nullptr) add_bias(y, *ends.bias, y);
}

Shape outer_shape(const SeriesEnds& ends, const Shape& y) {
  const int64_t b = ends.block;
  return {y[0], ends.before->inputs() / (b * b), y[2] * b, y[3] * b};
}

void Backend::conv_exp_between_backward(Tensor x, Tensor k, const SeriesSpec& spec, const SeriesEnds& ends,
                                        const SeriesSaved& saved, const Tensor& dy, Tensor* dx, Tensor* dk) {
  if (dx == nullptr && dk == nullptr) return;
  const Shape &s = dy.shape(), inner = {s[0], ends.before->outputs(), s[2], s[3]};
  const auto made = [&](const Shape& shape) { return empty(shape, Layout::channels_last); };
  Tensor dz = dy;
  if (!ends.after->is_identity()) {
    dz = made(inner);
    map_channels(ends.after->adjoint(), dy, dz);
  }
  Tensor du = dx != nullptr ? made(inner) : Tensor();
  {
    const bool read = dk != nullptr && !saved.with_input;
    const Tensor u = read ? series_input(*this, x, ends) : dz;  // for its shape
    x = Tensor();
    conv_exp_backward(u, std::move(k), spec, saved, dz, dx != nullptr ? &du : nullptr, dk);
  }
  if (dx == nullptr) return;
  if (!ends.before->is_identity()) {
    const Tensor whole = du;
    du = made({s[0], ends.before->inputs(), s[2], s[3]});
    map_channels(ends.before->adjoint(), whole, du);
  }
  *dx = du;
  if (ends.block == 1) return;
  *dx = made(outer_shape(ends, s));
  depth_to_space(ends.block, du, *dx);
}

Tensor series_input(Backend& backend, const Tensor& x, const SeriesEnds& ends) {
  const Shape& s = x.shape();
  const int64_t b = ends.block, high = s[2] / b, wide = s[3] / b;
  Tensor deep = x;
  if (b > 1) {
    deep = backend.empty({s[0], s[1] * b * b, high, wide}, Layout::channels_last);
    backend.space_to_depth(b, x, deep);
  }
  if (ends.before->is_identity()) return deep;
  Tensor inner = backend.empty({s[0], ends.before->outputs(), high, wide}, Layout::channels_last);
  backend.map_channels(*ends.before, deep, inner);
  return inner;
}

namespace {

int64_t window_count(const char* op, const char* axis, int64_t extent, int64_t pad, int64_t window, int64_t stride) {
  GSNET_CHECK(stride >= 1, fmt::format("[{}] stride must be at least 1, got {}", op, stride));
  GSNET_CHECK(extent + pad >= window,
              fmt::format("[{}] a window of {} does not fit {} {} with {} of padding", op, window, axis, extent, pad));
  return (extent + pad - window) / stride + 1;
}

}  // namespace

bool is_pointwise(const Shape& w, const ConvSpec& spec) {
  return w[2] == 1 && w[3] == 1 && spec.stride == std::array<int64_t, 2>{1, 1} &&
         spec.pad == std::array<int64_t, 4>{0, 0, 0, 0};
}

ConvSpec series_convolution(const Shape& k, int64_t groups) {
  const int64_t high = k[2] / 2, wide = k[3] / 2;
  return {.pad = {high, wide, high, wide}, .groups = groups};
}

Shape conv2d_shape(const Shape& x, const Shape& w, const ConvSpec& spec) {
  GSNET_CHECK(
      x.rank() == 4 && w.rank() == 4,
      fmt::format("[conv2d] needs x (N, C, H, W) and w (O, I, Kh, Kw), got {} and {}", to_string(x), to_string(w)));
  GSNET_CHECK(spec.groups >= 1 && x[1] == w[1] * spec.groups,
              fmt::format("[conv2d] w {} in {} groups expects {} input channels, got {}", to_string(w), spec.groups,
                          w[1] * spec.groups, x[1]));
  GSNET_CHECK(w[0] % spec.groups == 0,
              fmt::format("[conv2d] {} output channels do not divide into {} groups", w[0], spec.groups));
  GSNET_CHECK(spec.dilation[0] >= 1 && spec.dilation[1] >= 1 && w[2] >= 1 && w[3] >= 1,
              fmt::format("[conv2d] dilation and kernel must be at least 1, got {} x {} of {} x {}", spec.dilation[0],
                          spec.dilation[1], w[2], w[3]));
  GSNET_CHECK(std::ranges::all_of(spec.pad, [](int64_t p) { return p >= 0; }), "[conv2d] padding must not be negative");
  const int64_t high = (w[2] - 1) * spec.dilation[0] + 1, wide = (w[3] - 1) * spec.dilation[1] + 1;
  return {x[0], w[0], window_count("conv2d", "rows", x[2], spec.pad[0] + spec.pad[2], high, spec.stride[0]),
          window_count("conv2d", "columns", x[3], spec.pad[1] + spec.pad[3], wide, spec.stride[1])};
}

Shape pool_shape(const Shape& x, const PoolSpec& spec) {
  GSNET_CHECK(x.rank() == 4, fmt::format("[pool] needs x (N, C, H, W), got {}", to_string(x)));
  GSNET_CHECK(spec.kernel[0] >= 1 && spec.kernel[1] >= 1, "[pool] the window must be at least 1 x 1");
  const bool pads_fit = spec.pad[0] < spec.kernel[0] && spec.pad[2] < spec.kernel[0] && spec.pad[1] < spec.kernel[1] &&
                        spec.pad[3] < spec.kernel[1] && std::ranges::all_of(spec.pad, [](int64_t p) { return p >= 0; });
  GSNET_CHECK(pads_fit, "[pool] padding must be at least 0 and smaller than the window");
  return {x[0], x[1], window_count("pool", "rows", x[2], spec.pad[0] + spec.pad[2], spec.kernel[0], spec.stride[0]),
          window_count("pool", "columns", x[3], spec.pad[1] + spec.pad[3], spec.kernel[1], spec.stride[1])};
}

void check_conv_exp(const Shape& x, const Shape& k, const SeriesSpec& spec) {
  GSNET_CHECK(
      x.rank() == 4 && k.rank() == 4,
      fmt::format("[conv_exp] needs x (N, C, H, W) and k (C, C/g, Kh, Kw), got {} and {}", to_string(x), to_string(k)));
  GSNET_CHECK(spec.groups >= 1 && k[0] == x[1] && k[1] * spec.groups == x[1],
              fmt::format("[conv_exp] {} channels in {} groups need k ({}, {}, Kh, Kw), got {}", x[1], spec.groups,
                          x[1], spec.groups >= 1 ? x[1] / spec.groups : 0, to_string(k)));
  GSNET_CHECK(k[2] % 2 == 1 && k[3] % 2 == 1,
              fmt::format("[conv_exp] the kernel's height and width must be odd, got {} x {}", k[2], k[3]));
  GSNET_CHECK(spec.degree() >= 1, "[conv_exp] needs a degree of at least 1");
  for (int i = 0; i < spec.degree(); ++i) {
    GSNET_CHECK(spec.coefficients[static_cast<size_t>(i)] != 0,
                fmt::format("[conv_exp] coefficient {} of {} is zero", i, spec.degree()));
  }
}

ChannelMap::ChannelMap(int64_t inputs, std::vector<int32_t> source) : inputs_(inputs), source_(std::move(source)) {
  std::vector<bool> used(static_cast<size_t>(inputs));
  for (int32_t from : source_) {
    GSNET_CHECK(from >= -1 && from < inputs, fmt::format("[channels] source {} is outside [-1, {})", from, inputs));
    if (from < 0) continue;
    GSNET_CHECK(!used[static_cast<size_t>(from)], fmt::format("[channels] channel {} is used twice", from));
    used[static_cast<size_t>(from)] = true;
  }
}

ChannelMap ChannelMap::shuffle(int64_t channels, int64_t groups, bool paired) {
  GSNET_CHECK(channels >= 0 && groups >= 1,
              fmt::format("[channels] cannot shuffle {} channels in {} groups", channels, groups));
  const int64_t unit = paired ? 2 : 1;
  std::vector<int32_t> source;
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t first = g * unit; first < channels; first += groups * unit) {
      for (int64_t i = first; i < std::min(first + unit, channels); ++i) source.push_back(static_cast<int32_t>(i));
    }
  }
  return {channels, std::move(source)};
}

ChannelMap ChannelMap::head(int64_t inputs, int64_t outputs) {
  std::vector<int32_t> source(static_cast<size_t>(outputs), -1);
  for (int64_t i = 0; i < std::min(inputs, outputs); ++i) source[static_cast<size_t>(i)] = static_cast<int32_t>(i);
  return {inputs, std::move(source)};
}

ChannelMap ChannelMap::per_group(int64_t inputs, int64_t outputs, int64_t groups) {
  GSNET_CHECK(groups >= 1, fmt::format("[channels] groups must be at least 1, got {}", groups));
  std::vector<int32_t> source(static_cast<size_t>(outputs), -1);
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t from = inputs * g / groups, from_end = inputs * (g + 1) / groups;
    const int64_t to = outputs * g / groups, to_end = outputs * (g + 1) / groups;
    for (int64_t i = 0; i < std::min(from_end - from, to_end - to); ++i) {
      source[static_cast<size_t>(to + i)] = static_cast<int32_t>(from + i);
    }
  }
  return {inputs, std::move(source)};
}

bool ChannelMap::is_identity() const {
  if (inputs() != outputs()) return false;
  for (size_t i = 0; i < source_.size(); ++i) {
    if (source_[i] != static_cast<int32_t>(i)) return false;
  }
  return true;
}

ChannelMap ChannelMap::adjoint() const {
  std::vector<int32_t> back(static_cast<size_t>(inputs_), -1);
  for (size_t to = 0; to < source_.size(); ++to) {
    if (source_[to] >= 0) back[static_cast<size_t>(source_[to])] = static_cast<int32_t>(to);
  }
  return {outputs(), std::move(back)};
}

ChannelMap ChannelMap::then(const ChannelMap& next) const {
  GSNET_CHECK(next.inputs() == outputs(),
              fmt::format("[channels] a map to {} channels before one from {}", outputs(), next.inputs()));
  std::vector<int32_t> source;
  source.reserve(next.source_.size());
  for (int32_t middle : next.source_) source.push_back(middle < 0 ? -1 : source_[static_cast<size_t>(middle)]);
  return {inputs_, std::move(source)};
}

}  // namespace gsnet
