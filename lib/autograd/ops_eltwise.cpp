// Elementwise operations and activations.
#include <fmt/format.h>

#include "autograd/ops.h"
#include "core/error.h"

namespace gsnet::ops {
namespace {

void check_features(const char* op, const Shape& x) {
  GSNET_CHECK(x.rank() == 2 || x.rank() == 4,
              fmt::format("[{}] needs x (N, C) or (N, C, H, W), got {}", op, to_string(x)));
}

void check_even(const char* op, const Shape& x) {
  check_features(op, x);
  GSNET_CHECK(x[1] % 2 == 0, fmt::format("[{}] needs an even number of channels, got {}", op, x[1]));
}

}  // namespace

Var unary(UnaryOp op, const Var& x) {
  Backend& backend = x.tape->backend();
  Tensor y = backend.empty_like(x.value);
  backend.unary(op, x.value, y);
  return x.tape->record("unary", y, {&x}, [&backend, op, xv = x.value, y](GradSink& sink, const Tensor& dy) {
    Tensor dx = backend.empty_like(xv);
    backend.unary_backward(op, xv, y, dy, dx);
    sink.give(0, dx);
  });
}

Var binary(BinaryOp op, const Var& a, const Var& b) {
  Backend& backend = a.tape->backend();
  GSNET_CHECK(a.shape() == b.shape() && a.value.layout() == b.value.layout(),
              fmt::format("[binary] operands differ: {} and {}", to_string(a.shape()), to_string(b.shape())));
  Tensor y = backend.empty_like(a.value);
  backend.binary(op, a.value, b.value, y);
  const bool product = op == BinaryOp::multiply;
  return a.tape->record("binary", y, {&a, &b},
                        [&backend, op, product, av = product ? a.value : Tensor(), bv = product ? b.value : Tensor()](
                            GradSink& sink, const Tensor& dy) {
                          if (!product) {
                            sink.give(0, dy);
                            if (op == BinaryOp::add) return sink.give(1, dy);
                            Tensor db = backend.empty_like(dy);
                            backend.scale(-1, dy, db);
                            return sink.give(1, db);
                          }
                          Tensor da = backend.empty_like(dy), db = backend.empty_like(dy);
                          backend.binary(BinaryOp::multiply, dy, bv, da);
                          backend.binary(BinaryOp::multiply, dy, av, db);
                          sink.give(0, da);
                          sink.give(1, db);
                        });
}

Var scale(const Var& x, double alpha) {
  Backend& backend = x.tape->backend();
  Tensor y = backend.empty_like(x.value);
  backend.scale(alpha, x.value, y);
  return x.tape->record("scale", y, {&x}, [&backend, alpha](GradSink& sink, const Tensor& dy) {
    Tensor dx = backend.empty_like(dy);
    backend.scale(alpha, dy, dx);
    sink.give(0, dx);
  });
}

Var add_bias(const Var& x, const Var& b) {
  Backend& backend = x.tape->backend();
  check_features("add_bias", x.shape());
  GSNET_CHECK(b.shape() == Shape{x.shape()[1]}, fmt::format("[add_bias] {} channels need a bias ({}), got {}",
                                                            x.shape()[1], x.shape()[1], to_string(b.shape())));
  Tensor y = backend.empty_like(x.value);
  backend.add_bias(x.value, b.value, y);
  return x.tape->record("add_bias", y, {&x, &b}, [&backend](GradSink& sink, const Tensor& dy) {
    sink.give(0, dy);
    if (!sink.needs(1)) return;
    Tensor db = backend.empty({dy.shape()[1]});
    backend.sum_to_channels(dy, db);
    sink.give(1, db);
  });
}

Var scale_channels(const Var& x, const Var& a) {
  Backend& backend = x.tape->backend();
  check_features("scale_channels", x.shape());
  GSNET_CHECK(a.shape() == Shape{x.shape()[1]}, fmt::format("[scale_channels] {} channels need a scale ({}), got {}",
                                                            x.shape()[1], x.shape()[1], to_string(a.shape())));
  Tensor y = backend.empty_like(x.value);
  backend.scale_channels(x.value, a.value, y);
  return x.tape->record("scale_channels", y, {&x, &a},
                        [&backend, xv = x.value, av = a.value](GradSink& sink, const Tensor& dy) {
                          Tensor product = backend.empty_like(dy);
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

Var maxmin(const Var& x, const MaxMinSpec& spec) {
  Backend& backend = x.tape->backend();
  check_even("maxmin", x.shape());
  const auto sorted = [&backend, spec](const Tensor& of) {
    Tensor y = backend.empty_like(of);
    backend.maxmin(spec, of, y);
    return y;
  };
  struct Kept {
    Tensor x, order;  // one of them
  };
  auto kept = std::make_shared<Kept>(Kept{x.value, {}});
  auto result = std::make_shared<HandedBack>([&backend, spec, kept] {
    kept->order = Tensor::empty(order_shape(kept->x), DType::i32, Layout::row_major, backend.memory());
    backend.maxmin_order(spec, kept->x, kept->order);
    kept->x = {};
  });
  if (x.handed_back) x.handed_back->promise();
  Var y = x.tape->record("maxmin", sorted(x.value), {&x},
                         [&backend, spec, kept, result, given = x.handed_back](GradSink& sink, const Tensor& dy) {
                           const auto exchanged = [&](const Tensor& of) {
                             Tensor made = backend.empty_like(of);
                             backend.exchange_pairs(spec.pairing, kept->order, of, made);
                             return made;
                           };
                           Tensor xv = kept->order ? exchanged(result->take()) : kept->x, dx;
                           if (kept->order) {
                             dx = exchanged(dy);
                           } else {
                             dx = backend.empty_like(dy);
                             backend.maxmin_backward(spec, xv, dy, dx);
                           }
                           if (given) given->give(std::move(xv));
                           sink.give(0, dx);
                         });
  if (!y.tracked()) return y;
  y.remake = [sorted, xv = x.value] { return sorted(xv); };
  y.handed_back = result;
  return y;
}

Var group_sort(const Var& x, int64_t size) {
  Backend& backend = x.tape->backend();
  check_features("group_sort", x.shape());
  GSNET_CHECK(size >= 1 && x.shape()[1] % size == 0,
              fmt::format("[group_sort] {} channels do not divide into runs of {}", x.shape()[1], size));
  Tensor y = backend.empty_like(x.value);
  backend.group_sort(size, x.value, y);
  return x.tape->record("group_sort", y, {&x}, [&backend, size, xv = x.value](GradSink& sink, const Tensor& dy) {
    Tensor dx = backend.empty_like(xv);
    backend.group_sort_backward(size, xv, dy, dx);
    sink.give(0, dx);
  });
}

Var householder(const Var& x, const Var& theta, Pairing pairing) {
  Backend& backend = x.tape->backend();
  check_even("householder", x.shape());
  GSNET_CHECK(theta.shape() == Shape{x.shape()[1] / 2},
              fmt::format("[householder] {} channels need {} angles, got {}", x.shape()[1], x.shape()[1] / 2,
                          to_string(theta.shape())));
  Tensor y = backend.empty_like(x.value);
  backend.householder(pairing, x.value, theta.value, y);
  return x.tape->record("householder", y, {&x, &theta},
                        [&backend, pairing, xv = x.value, tv = theta.value](GradSink& sink, const Tensor& dy) {
                          Tensor dx = backend.empty_like(xv), dtheta = backend.empty_like(tv);
                          backend.householder_backward(pairing, xv, tv, dy, dx, dtheta);
                          sink.give(0, dx);
                          sink.give(1, dtheta);
                        });
}

}  // namespace gsnet::ops
