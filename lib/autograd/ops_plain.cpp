// What imported networks need beside the rest: clips, slopes, softmax; joined, padded, permuted and reshaped samples.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops.h"
#include "core/error.h"

namespace gsnet::ops {
namespace {

void check_features(const char* op, const Shape& x) {
  GSNET_CHECK(x.rank() == 2 || x.rank() == 4,
              fmt::format("[{}] needs x (N, C) or (N, C, H, W), got {}", op, to_string(x)));
}

void check_channels(const char* op, const Shape& x, const char* what, const Shape& given) {
  check_features(op, x);
  GSNET_CHECK(given == Shape{x[1]},
              fmt::format("[{}] {} channels need a {} ({}), got {}", op, x[1], what, x[1], to_string(given)));
}

/// What holds a batch of such samples: maps are channels-last.
Tensor empty_samples(Backend& backend, const Shape& shape) {
  return backend.empty(shape, shape.rank() == 4 ? Layout::channels_last : Layout::row_major);
}

}  // namespace

Var clip(const Var& x, double low, double high) {
  Backend& backend = x.tape->backend();
  GSNET_CHECK(low <= high, fmt::format("[clip] needs low <= high, got {} and {}", low, high));
  Tensor y = backend.empty_like(x.value);
  backend.clip(low, high, x.value, y);
  return x.tape->record("clip", y, {&x}, [&backend, low, high, xv = x.value](GradSink& sink, const Tensor& dy) {
    Tensor dx = backend.empty_like(xv);
    backend.clip_backward(low, high, xv, dy, dx);
    sink.give(0, dx);
  });
}

Var prelu(const Var& x, const Var& slope) {
  Backend& backend = x.tape->backend();
  check_channels("prelu", x.shape(), "slope", slope.shape());
  Tensor y = backend.empty_like(x.value);
  backend.prelu(x.value, slope.value, y);
  return x.tape->record("prelu", y, {&x, &slope},
                        [&backend, xv = x.value, sv = slope.value](GradSink& sink, const Tensor& dy) {
                          Tensor dx = sink.needs(0) ? backend.empty_like(xv) : Tensor();
                          Tensor dslope = sink.needs(1) ? backend.empty_like(sv) : Tensor();
                          backend.prelu_backward(xv, sv, dy, dx ? &dx : nullptr, dslope ? &dslope : nullptr);
                          if (dx) sink.give(0, dx);
                          if (dslope) sink.give(1, dslope);
                        });
}

Var softmax(const Var& x) {
  Backend& backend = x.tape->backend();
  check_features("softmax", x.shape());
  Tensor y = backend.empty_like(x.value);
  backend.softmax(x.value, y);
  return x.tape->record("softmax", y, {&x}, [&backend, y](GradSink& sink, const Tensor& dy) {
    Tensor dx = backend.empty_like(y);
    backend.softmax_backward(y, dy, dx);
    sink.give(0, dx);
  });
}

Var scale_shift(const Var& x, const Var& a, const Var& b) {
  Backend& backend = x.tape->backend();
  check_channels("scale_shift", x.shape(), "scale", a.shape());
  check_channels("scale_shift", x.shape(), "shift", b.shape());
  Tensor y = backend.empty_like(x.value);
  backend.scale_shift(x.value, a.value, b.value, y);
  return x.tape->record("scale_shift", y, {&x, &a, &b},
                        [&backend, xv = x.value, av = a.value](GradSink& sink, const Tensor& dy) {
                          Tensor product = backend.empty_like(dy);
                          if (sink.needs(2)) {
                            Tensor db = backend.empty_like(av);
                            backend.sum_to_channels(dy, db);
                            sink.give(2, db);
                          }
                          if (sink.needs(1)) {
                            Tensor da = backend.empty_like(av);
                            backend.binary(BinaryOp::multiply, xv, dy, product);
                            backend.sum_to_channels(product, da);
                            sink.give(1, da);
                          }
                          if (!sink.needs(0)) return;
                          backend.scale_channels(dy, av, product);
                          sink.give(0, product);
                        });
}

// The sum over a map is its mean times its area.
Var scale_maps(const Var& x, const Var& a) {
  Backend& backend = x.tape->backend();
  const Shape xs = x.shape();
  GSNET_CHECK(xs.rank() == 4 && a.shape() == Shape({xs[0], xs[1], 1, 1}),
              fmt::format("[scale_maps] needs x (N, C, H, W) and a (N, C, 1, 1), got {} and {}", to_string(xs),
                          to_string(a.shape())));
  Tensor y = backend.empty_like(x.value);
  backend.scale_maps(x.value, a.value, y);
  return x.tape->record("scale_maps", y, {&x, &a},
                        [&backend, xs, xv = x.value, av = a.value](GradSink& sink, const Tensor& dy) {
                          Tensor product = backend.empty_like(dy);
                          if (sink.needs(1)) {
                            Tensor mean = backend.empty_like(av), da = backend.empty_like(av);
                            backend.binary(BinaryOp::multiply, xv, dy, product);
                            backend.pool({.kernel = {xs[2], xs[3]}, .stride = {xs[2], xs[3]}}, product, mean);
                            backend.scale(static_cast<double>(xs[2] * xs[3]), mean, da);
                            sink.give(1, da);
                          }
                          if (!sink.needs(0)) return;
                          backend.scale_maps(dy, av, product);
                          sink.give(0, product);
                        });
}

Var concat(std::span<const Var> x) {
  GSNET_CHECK(!x.empty(), "[concat] needs at least one input");
  Backend& backend = x[0].tape->backend();
  check_features("concat", x[0].shape());
  int64_t channels = 0;
  std::vector<Tensor> parts;
  std::vector<const Var*> inputs;
  std::vector<Shape> shapes;
  for (const Var& one : x) {
    const Shape& s = one.shape();
    GSNET_CHECK(s.rank() == x[0].shape().rank() && s.with(1, 1) == x[0].shape().with(1, 1),
                fmt::format("[concat] cannot join {} and {}", to_string(x[0].shape()), to_string(s)));
    channels += s[1];
    parts.push_back(one.value);
    inputs.push_back(&one);
    shapes.push_back(s);
  }
  Tensor y = backend.empty(x[0].shape().with(1, channels), x[0].value.layout());
  backend.concat(parts, y);
  return x[0].tape->record("concat", y, inputs, [&backend, shapes, channels](GradSink& sink, const Tensor& dy) {
    int32_t first = 0;
    for (size_t i = 0; i < shapes.size(); ++i) {
      std::vector<int32_t> source(static_cast<size_t>(shapes[i][1]));
      for (int32_t& from : source) from = first++;
      if (!sink.needs(static_cast<int>(i))) continue;
      Tensor dx = backend.empty(shapes[i], dy.layout());
      backend.map_channels(ChannelMap(channels, std::move(source)), dy, dx);
      sink.give(static_cast<int>(i), dx);
    }
  });
}

Var pad(const Var& x, const std::array<int64_t, 4>& sides, double value) {
  Backend& backend = x.tape->backend();
  const Shape xs = x.shape();
  GSNET_CHECK(xs.rank() == 4 && std::ranges::all_of(sides, [](int64_t side) { return side >= 0; }),
              fmt::format("[pad] needs x (N, C, H, W) and sides of at least 0, got {}", to_string(xs)));
  Tensor y = backend.empty({xs[0], xs[1], xs[2] + sides[0] + sides[2], xs[3] + sides[1] + sides[3]}, x.value.layout());
  backend.pad(sides, value, x.value, y);
  return x.tape->record("pad", y, {&x}, [&backend, sides, xs](GradSink& sink, const Tensor& dy) {
    Tensor dx = backend.empty(xs, dy.layout());
    backend.crop(sides, dy, dx);
    sink.give(0, dx);
  });
}

Var permute(const Var& x, std::span<const int64_t> axes) {
  Backend& backend = x.tape->backend();
  const Shape xs = x.shape();
  GSNET_CHECK(xs.rank() >= 2 && xs.rank() <= 4 && axes.size() + 1 == static_cast<size_t>(xs.rank()),
              fmt::format("[permute] {} axes do not order the samples of {}", axes.size(), to_string(xs)));
  std::vector<int64_t> forward(axes.size() + 1), back(axes.size() + 1, -1), extents(axes.size() + 1, xs[0]);
  back[0] = 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t from = axes[i] + 1;
    GSNET_CHECK(from >= 1 && from < xs.rank() && back[static_cast<size_t>(from)] < 0,
                fmt::format("[permute] axis {} of {} axes does not exist or is named twice", axes[i], axes.size()));
    forward[i + 1] = from;
    back[static_cast<size_t>(from)] = static_cast<int64_t>(i) + 1;
    extents[i + 1] = xs[static_cast<int>(from)];
  }
  Tensor y = empty_samples(backend, Shape(extents));
  backend.permute(forward, x.value, y);
  return x.tape->record("permute", y, {&x},
                        [&backend, back, xs, layout = x.value.layout()](GradSink& sink, const Tensor& dy) {
                          Tensor dx = backend.empty(xs, layout);
                          backend.permute(back, dy, dx);
                          sink.give(0, dx);
                        });
}

namespace {

/// The elements of x in logical order as a tensor of another shape and layout.
Tensor reordered(Backend& backend, const Tensor& x, const Shape& shape, Layout layout) {
  Tensor rows = x;
  if (x.layout() == Layout::channels_last) {
    rows = backend.empty(x.shape(), Layout::row_major);
    backend.convert_layout(x, rows);
  }
  if (layout == Layout::row_major) return rows.view(shape);
  Tensor map = backend.empty(shape, layout);
  backend.convert_layout(rows.view(shape), map);
  return map;
}

}  // namespace

Var reshape_samples(const Var& x, const Shape& sample) {
  Backend& backend = x.tape->backend();
  const Shape xs = x.shape();
  GSNET_CHECK(xs.rank() >= 2 && xs.rank() <= 4 && sample.rank() >= 1 && sample.rank() <= 3 &&
                  xs.numel() == xs[0] * sample.numel(),
              fmt::format("[reshape] samples of {} cannot be read as {}", to_string(xs), to_string(sample)));
  std::vector<int64_t> extents = {xs[0]};
  extents.insert(extents.end(), sample.extents().begin(), sample.extents().end());
  const Shape ys(extents);
  const Layout layout = ys.rank() == 4 ? Layout::channels_last : Layout::row_major;
  return x.tape->record("reshape", reordered(backend, x.value, ys, layout), {&x},
                        [&backend, xs, layout = x.value.layout()](GradSink& sink, const Tensor& dy) {
                          sink.give(0, reordered(backend, dy, xs, layout));
                        });
}

}  // namespace gsnet::ops
