// Channels, pixels, shapes, pooling, reductions and losses.
#include <fmt/format.h>

#include "autograd/ops.h"
#include "core/error.h"

namespace gsnet::ops {

Var map_channels(const Var& x, const ChannelMap& map) {
  if (map.is_identity()) return x;
  Backend& backend = x.tape->backend();
  const Shape xs = x.shape();
  GSNET_CHECK((xs.rank() == 2 || xs.rank() == 4) && xs[1] == map.inputs(),
              fmt::format("[map_channels] a map of {} channels cannot take {}", map.inputs(), to_string(xs)));
  Tensor y = backend.empty(xs.with(1, map.outputs()), x.value.layout());
  backend.map_channels(map, x.value, y);
  return x.tape->record("map_channels", y, {&x}, [&backend, map, xs](GradSink& sink, const Tensor& dy) {
    Tensor dx = backend.empty(xs, dy.layout());
    backend.map_channels(map.adjoint(), dy, dx);
    sink.give(0, dx);
  });
}

namespace {

Var shuffle_pixels(const Var& x, int64_t block, bool to_depth) {
  Backend& backend = x.tape->backend();
  const Shape xs = x.shape();
  const int64_t area = block * block;
  Tensor y = to_depth ? backend.empty({xs[0], xs[1] * area, xs[2] / block, xs[3] / block}, Layout::channels_last)
                      : backend.empty({xs[0], xs[1] / area, xs[2] * block, xs[3] * block}, Layout::channels_last);
  to_depth ? backend.space_to_depth(block, x.value, y) : backend.depth_to_space(block, x.value, y);
  return x.tape->record(to_depth ? "space_to_depth" : "depth_to_space", y, {&x},
                        [&backend, block, xs, to_depth](GradSink& sink, const Tensor& dy) {
                          Tensor dx = backend.empty(xs, Layout::channels_last);
                          to_depth ? backend.depth_to_space(block, dy, dx) : backend.space_to_depth(block, dy, dx);
                          sink.give(0, dx);
                        });
}

}  // namespace

Var space_to_depth(const Var& x, int64_t block) {
  const Shape& xs = x.shape();
  GSNET_CHECK(xs.rank() == 4 && block >= 1 && xs[2] % block == 0 && xs[3] % block == 0,
              fmt::format("[space_to_depth] {} does not divide into blocks of {} x {}", to_string(xs), block, block));
  return shuffle_pixels(x, block, true);
}

Var depth_to_space(const Var& x, int64_t block) {
  const Shape& xs = x.shape();
  GSNET_CHECK(xs.rank() == 4 && block >= 1 && xs[1] % (block * block) == 0,
              fmt::format("[depth_to_space] the channels of {} do not divide by {}", to_string(xs), block * block));
  return shuffle_pixels(x, block, false);
}

Var flatten(const Var& x) {
  Backend& backend = x.tape->backend();
  const Shape xs = x.shape();
  if (xs.rank() == 2) return x;
  if (xs.rank() == 3) return reshape_samples(x, {xs[1] * xs[2]});
  GSNET_CHECK(xs.rank() == 4, fmt::format("[flatten] needs (N, C, H, W), got {}", to_string(xs)));
  if (xs[2] * xs[3] == 1) {
    return x.tape->record("flatten", x.value.view({xs[0], xs[1]}), {&x},
                          [](GradSink& sink, const Tensor& dy) { sink.give(0, dy.as_map()); });
  }
  Tensor rows = backend.empty(xs, Layout::row_major);
  backend.convert_layout(x.value, rows);
  return x.tape->record("flatten", rows.view({xs[0], xs[1] * xs[2] * xs[3]}), {&x},
                        [&backend, xs](GradSink& sink, const Tensor& dy) {
                          Tensor dx = backend.empty(xs, Layout::channels_last);
                          backend.convert_layout(dy.view(xs), dx);
                          sink.give(0, dx);
                        });
}

Var as_map(const Var& x) {
  return x.tape->record("as_map", x.value.as_map(), {&x},
                        [xs = x.shape()](GradSink& sink, const Tensor& dy) { sink.give(0, dy.view(xs)); });
}

Var reshape(const Var& x, const Shape& shape) {
  const Shape xs = x.shape();
  return x.tape->record("reshape", x.value.view(shape), {&x},
                        [xs](GradSink& sink, const Tensor& dy) { sink.give(0, dy.view(xs)); });
}

Var gather_rows(const Var& x, const Tensor& index) {
  Backend& backend = x.tape->backend();
  const Shape xs = x.shape();
  GSNET_CHECK(xs.rank() == 2 && index.shape().rank() == 1 && index.dtype() == DType::i32,
              fmt::format("[gather_rows] needs x (R, C) and an index (M) i32, got {} and {} {}", to_string(xs),
                          to_string(index.shape()), to_string(index.dtype())));
  Tensor y = backend.empty({index.shape()[0], xs[1]});
  backend.gather_rows(x.value, index, y);
  return x.tape->record("gather_rows", y, {&x}, [&backend, xs, index](GradSink& sink, const Tensor& dy) {
    Tensor dx = backend.empty(xs);
    backend.scatter_rows(dy, index, dx);
    sink.give(0, dx);
  });
}

Var pool(const Var& x, const PoolSpec& spec) {
  Backend& backend = x.tape->backend();
  Tensor y = backend.empty(pool_shape(x.shape(), spec), Layout::channels_last);
  backend.pool(spec, x.value, y);
  return x.tape->record("pool", y, {&x}, [&backend, spec, xv = x.value, y](GradSink& sink, const Tensor& dy) {
    Tensor dx = backend.empty_like(xv);
    backend.pool_backward(spec, xv, y, dy, dx);
    sink.give(0, dx);
  });
}

Var sum(const Var& x) {
  Backend& backend = x.tape->backend();
  Tensor y = backend.empty({1});
  backend.sum(x.value, y);
  return x.tape->record(
      "sum", y, {&x}, [&backend, xs = x.shape(), layout = x.value.layout()](GradSink& sink, const Tensor& dy) {
        if (layout == Layout::row_major) {
          Tensor row = backend.empty({1, xs.numel()});
          backend.fill(1, row);
          backend.scale_rows(row, dy, row);
          return sink.give(0, row.view(xs));
        }
        const Tensor value = backend.download(dy);
        const double g =
            value.dtype() == DType::f64 ? value.data<double>()[0] : static_cast<double>(value.data<float>()[0]);
        Tensor dx = backend.empty(xs, layout);
        backend.fill(g, dx);
        sink.give(0, dx);
      });
}

Var sum_to_channels(const Var& x) {
  Backend& backend = x.tape->backend();
  GSNET_CHECK(x.shape().rank() == 2 || x.shape().rank() == 4,
              fmt::format("[sum_to_channels] needs x (N, C) or (N, C, H, W), got {}", to_string(x.shape())));
  Tensor y = backend.empty({x.shape()[1]});
  backend.sum_to_channels(x.value, y);
  return x.tape->record("sum_to_channels", y, {&x},
                        [&backend, xs = x.shape(), layout = x.value.layout()](GradSink& sink, const Tensor& dy) {
                          Tensor zero = backend.empty(xs, layout), dx = backend.empty(xs, layout);
                          backend.fill(0, zero);
                          backend.add_bias(zero, dy, dx);
                          sink.give(0, dx);
                        });
}

Var mean(const Var& x) { return scale(sum(x), 1.0 / static_cast<double>(x.value.numel())); }

namespace {

void check_logits(const char* op, const Var& z, const Tensor& labels) {
  GSNET_CHECK(z.shape().rank() == 2 && labels.shape() == Shape{z.shape()[0]} && labels.dtype() == DType::i32,
              fmt::format("[{}] needs logits (N, K) and labels (N) i32, got {} and {} {}", op, to_string(z.shape()),
                          to_string(labels.shape()), to_string(labels.dtype())));
}

}  // namespace

Var cross_entropy(const Var& z, const Tensor& labels, const CrossEntropySpec& spec) {
  Backend& backend = z.tape->backend();
  check_logits("cross_entropy", z, labels);
  GSNET_CHECK(spec.temperature > 0,
              fmt::format("[cross_entropy] the temperature must be positive, got {}", spec.temperature));
  Tensor loss = backend.empty({z.shape()[0]}), p = backend.empty(z.shape());
  backend.cross_entropy(spec, z.value, labels, loss, p);
  return z.tape->record("cross_entropy", loss, {&z}, [&backend, p, labels](GradSink& sink, const Tensor& dloss) {
    Tensor dz = backend.empty_like(p);
    backend.cross_entropy_backward(p, labels, dloss, dz);
    sink.give(0, dz);
  });
}

Var margin_softmax(const Var& z, const Tensor& labels, const Tensor& raise, const Tensor& lower,
                   const MarginSoftmaxSpec& spec) {
  Backend& backend = z.tape->backend();
  check_logits("margin_softmax", z, labels);
  const Shape samples = {z.shape()[0]};
  GSNET_CHECK(raise.shape() == samples && lower.shape() == samples,
              fmt::format("[margin_softmax] {} samples need as many margins, got {} and {}", samples[0],
                          to_string(raise.shape()), to_string(lower.shape())));
  GSNET_CHECK(spec.scale > 0 && spec.multiply >= 1,
              fmt::format("[margin_softmax] the scale must be positive and the factor of the angle at least 1, got {} "
                          "and {}",
                          spec.scale, spec.multiply));
  Tensor loss = backend.empty(samples), slope = backend.empty(samples), p = backend.empty(z.shape());
  backend.margin_softmax(spec, z.value, labels, raise, lower, loss, p, slope);
  return z.tape->record("margin_softmax", loss, {&z},
                        [&backend, spec, p, slope, labels](GradSink& sink, const Tensor& dloss) {
                          Tensor dz = backend.empty_like(p);
                          backend.margin_softmax_backward(spec, p, slope, labels, dloss, dz);
                          sink.give(0, dz);
                        });
}

Var margin(const Var& z, const Tensor& labels) {
  Backend& backend = z.tape->backend();
  check_logits("margin", z, labels);
  Tensor m = backend.empty({z.shape()[0]});
  Tensor rival = Tensor::empty({z.shape()[0]}, DType::i32, Layout::row_major, backend.memory());
  backend.margin(z.value, labels, m, rival);
  return z.tape->record("margin", m, {&z}, [&backend, labels, rival, zs = z.shape()](GradSink& sink, const Tensor& dm) {
    Tensor dz = backend.empty(zs);
    backend.margin_backward(labels, rival, dm, dz);
    sink.give(0, dz);
  });
}

}  // namespace gsnet::ops
