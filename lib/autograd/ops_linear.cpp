// Convolution, series and products.
#include <fmt/format.h>

#include <memory>

#include "autograd/ops.h"
#include "core/error.h"

namespace gsnet::ops {

Var conv2d(const Var& x, const Var& w, const Var* bias, const ConvSpec& spec) {
  Backend& backend = x.tape->backend();
  const Shape shape = conv2d_shape(x.shape(), w.shape(), spec);
  GSNET_CHECK(bias == nullptr || bias->shape() == Shape{w.shape()[0]},
              fmt::format("[conv2d] {} output channels need a bias ({}), got {}", w.shape()[0], w.shape()[0],
                          bias != nullptr ? to_string(bias->shape()) : ""));
  Tensor y = backend.empty(shape, Layout::channels_last);
  backend.conv2d(x.value, w.value, bias != nullptr ? &bias->value : nullptr, spec, y);
  const Var none;
  return x.tape->record("conv2d", y, {&x, &w, bias != nullptr ? bias : &none},
                        [&backend, xv = x.value, wv = w.value, spec](GradSink& sink, const Tensor& dy) {
                          if (sink.needs(0)) {
                            Tensor dx = backend.empty_like(xv);
                            backend.conv2d_dgrad(dy, wv, spec, dx);
                            sink.give(0, dx);
                          }
                          if (sink.needs(1)) {
                            Tensor dw = backend.empty_like(wv);
                            backend.conv2d_wgrad(xv, dy, spec, dw);
                            sink.give(1, dw);
                          }
                          if (sink.needs(2)) {
                            Tensor db = backend.empty({dy.shape()[1]});
                            backend.sum_to_channels(dy, db);
                            sink.give(2, db);
                          }
                        });
}

Var conv_exp(const Var& x, const Var& k, const SeriesSpec& spec) {
  Backend& backend = x.tape->backend();
  check_conv_exp(x.shape(), k.shape(), spec);
  Tensor y = backend.empty_like(x.value);
  const bool wants_dk = x.tape->mode().record && k.tracked();  // dx needs no iterates
  auto saved = std::make_shared<SeriesSaved>();
  backend.conv_exp(x.value, k.value, spec, y, wants_dk ? saved.get() : nullptr);
  return x.tape->record("conv_exp", y, {&x, &k},
                        [&backend, xv = x.value, kv = k.value, spec, saved](GradSink& sink, const Tensor& dy) {
                          Tensor dx = sink.needs(0) ? backend.empty_like(xv) : Tensor();
                          Tensor dk = sink.needs(1) ? backend.empty_like(kv) : Tensor();
                          backend.conv_exp_backward(xv, kv, spec, *saved, dy, dx ? &dx : nullptr, dk ? &dk : nullptr);
                          if (dx) sink.give(0, dx);
                          if (dk) sink.give(1, dk);
                        });
}

Var linear(const Var& x, const Var& w) {
  GSNET_CHECK(
      x.shape().rank() == 2 && w.shape().rank() == 2 && x.shape()[1] == w.shape()[1],
      fmt::format("[linear] needs x (N, I) and w (O, I), got {} and {}", to_string(x.shape()), to_string(w.shape())));
  return matmul(x, false, w, true);
}

Var matmul(const Var& a, bool transpose_a, const Var& b, bool transpose_b) {
  Backend& backend = a.tape->backend();
  const Shape as = a.shape(), bs = b.shape();
  const bool ranks = as.rank() == bs.rank() && (as.rank() == 2 || (as.rank() == 3 && as[0] == bs[0]));
  GSNET_CHECK(ranks && as[transpose_a ? -2 : -1] == bs[transpose_b ? -1 : -2],
              fmt::format("[matmul] {}{} and {}{} do not fit together", to_string(as), transpose_a ? "'" : "",
                          to_string(bs), transpose_b ? "'" : ""));
  Tensor y = backend.empty(as.with(-2, as[transpose_a ? -1 : -2]).with(-1, bs[transpose_b ? -2 : -1]));
  backend.matmul(a.value, transpose_a, b.value, transpose_b, y);
  return a.tape->record(
      "matmul", y, {&a, &b},
      [&backend, av = a.value, bv = b.value, transpose_a, transpose_b](GradSink& sink, const Tensor& dy) {
        if (sink.needs(0)) {
          Tensor da = backend.empty_like(av);
          if (transpose_a) {
            backend.matmul(bv, transpose_b, dy, true, da);
          } else {
            backend.matmul(dy, false, bv, !transpose_b, da);
          }
          sink.give(0, da);
        }
        if (sink.needs(1)) {
          Tensor db = backend.empty_like(bv);
          if (transpose_b) {
            backend.matmul(dy, true, av, transpose_a, db);
          } else {
            backend.matmul(av, !transpose_a, dy, false, db);
          }
          sink.give(1, db);
        }
      });
}

}  // namespace gsnet::ops
