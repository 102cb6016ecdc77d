// Convolution, series and products.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "autograd/ops.h"
#include "core/error.h"

namespace gsnet::ops {

namespace {

void check_epilogue(const ConvEpilogue<Var>& after, const Shape& y) {
  GSNET_CHECK(after.bias == nullptr || after.bias->shape() == Shape{y[1]},
              fmt::format("[conv2d] {} output channels need a bias ({}), got {}", y[1], y[1],
                          after.bias != nullptr ? to_string(after.bias->shape()) : ""));
  GSNET_CHECK(
      after.addend == nullptr || (after.addend->shape() == y && after.addend->value.layout() == Layout::channels_last),
      fmt::format("[conv2d] an output {} can be added to a tensor of that shape alone, channels last", to_string(y)));
  GSNET_CHECK(after.low <= after.high,
              fmt::format("[conv2d] low must be at most high, got {} and {}", after.low, after.high));
}

/// y - bias; bias may be an empty tensor.
Tensor without_bias(Backend& backend, const Tensor& y, const Tensor& bias) {
  if (!bias) return y;
  Tensor minus = backend.empty_like(bias), x = backend.empty_like(y);
  backend.scale(-1, bias, minus);
  backend.add_bias(y, minus, x);
  return x;
}

/// `isometry`: w' w = 1 and nothing but a bias follows, so that x is made again from y by the adjoint where y is handed
/// back, and handed on.
Var convolved(const Var& x, const Var& w, const ConvEpilogue<Var>& after, const ConvSpec& spec, bool isometry) {
  Backend& backend = x.tape->backend();
  const Shape shape = conv2d_shape(x.shape(), w.shape(), spec);
  check_epilogue(after, shape);
  Tensor y = backend.empty(shape, Layout::channels_last);
  const auto value = [](const Var* of) { return of != nullptr ? &of->value : nullptr; };
  backend.conv2d(x.value, w.value, {value(after.bias), value(after.addend), after.low, after.high}, spec, y);
  auto input = std::make_shared<Tensor>(x.value);
  const auto result = isometry ? std::make_shared<HandedBack>([input] { *input = {}; }) : nullptr;
  const auto to = isometry ? x.handed_back : nullptr;
  if (to) to->promise();
  const Var none;
  const auto given = [&](const Var* of) { return of != nullptr ? of : &none; };
  Var made =
      x.tape->record("conv2d", y, {&x, &w, given(after.bias), given(after.addend)},
                     [&backend, input, result, to, wv = w.value, yv = after.clips() ? y : Tensor(), low = after.low,
                      high = after.high, bias = isometry && after.bias != nullptr ? after.bias->value : Tensor(),
                      spec](GradSink& sink, const Tensor& dy) {
                       Tensor dz = dy, xv = *input;
                       if (yv) {
                         dz = backend.empty_like(dy);
                         backend.clip_backward(low, high, yv, dy, dz);
                       }
                       if (!xv) {
                         xv = backend.empty_like(dy);
                         backend.conv2d_dgrad(without_bias(backend, result->take(), bias), wv, spec, xv);
                       }
                       if (sink.needs(0)) {
                         Tensor dx = backend.empty_like(xv);
                         backend.conv2d_dgrad(dz, wv, spec, dx);
                         sink.give(0, dx);
                       }
                       if (sink.needs(1)) {
                         Tensor dw = backend.empty_like(wv);
                         backend.conv2d_wgrad(xv, dz, spec, dw);
                         sink.give(1, dw);
                       }
                       if (to) to->give(std::move(xv));
                       if (sink.needs(2)) {
                         Tensor db = backend.empty({dz.shape()[1]});
                         backend.sum_to_channels(dz, db);
                         sink.give(2, db);
                       }
                       if (sink.needs(3)) sink.give(3, dz);
                     });
  if (made.tracked()) made.handed_back = result;
  return made;
}

}  // namespace

Var conv2d(const Var& x, const Var& w, const Var* bias, const ConvSpec& spec) {
  return conv2d(x, w, ConvEpilogue<Var>{.bias = bias}, spec);
}

Var conv2d(const Var& x, const Var& w, const ConvEpilogue<Var>& after, const ConvSpec& spec) {
  return convolved(x, w, after, spec, false);
}

Var conv2d_isometry(const Var& x, const Var& w, const Var* bias, const ConvSpec& spec) {
  const Shape y = conv2d_shape(x.shape(), w.shape(), spec);
  GSNET_CHECK(y == x.shape(), fmt::format("[conv2d_isometry] makes {} of {}", to_string(y), to_string(x.shape())));
  return convolved(x, w, {.bias = bias}, spec, x.tape->mode().record && w.tracked());
}

Var conv_exp(const Var& x, const Var& k, const SeriesSpec& spec) {
  Backend& backend = x.tape->backend();
  check_conv_exp(x.shape(), k.shape(), spec);
  Tensor y = backend.empty_like(x.value);
  const bool wants_dk = x.tape->mode().record && k.tracked();  // dx needs no iterates
  auto saved = std::make_shared<SeriesSaved>();
  backend.conv_exp(x.value, k.value, spec, y, wants_dk ? saved.get() : nullptr);
  return x.tape->record(
      "conv_exp", y, {&x, &k}, [&backend, xv = x.value, kept = Kept(k), spec, saved](GradSink& sink, const Tensor& dy) {
        Tensor dx = sink.needs(0) ? backend.empty_like(xv) : Tensor(), dk;
        backend.conv_exp_backward(xv, kept(), spec, *saved, dy, dx ? &dx : nullptr, sink.needs(1) ? &dk : nullptr);
        if (dx) sink.give(0, dx);
        if (dk) sink.give(1, dk);
      });
}

namespace {

bool is_permutation(const ChannelMap& map) {
  return map.inputs() == map.outputs() && std::ranges::find(map.source(), -1) == map.source().end();
}

/// x of y, the result of a layer whose maps are permutations; ends.bias may be an empty tensor.
Tensor undone(Backend& backend, Tensor y, const Tensor& k, const SeriesSpec& spec, const SeriesEnds& ends) {
  y = without_bias(backend, y, *ends.bias);
  const SeriesSpec inverse{.coefficients = spec.inverse, .groups = spec.groups, .products = spec.products};
  const ChannelMap before = ends.after->adjoint(), after = ends.before->adjoint();
  Tensor x = backend.empty_like(y);
  backend.conv_exp_between(y, k, inverse, {1, &before, &after, nullptr}, x, nullptr);
  return x;
}

}  // namespace

Var conv_exp_between(const Var& x, const Var& k, const SeriesSpec& spec, int64_t block, const ChannelMap& before,
                     const ChannelMap& after, const Var* bias) {
  Backend& backend = x.tape->backend();
  const Shape& s = x.shape();
  GSNET_CHECK(s.rank() == 4 && block >= 1 && s[2] % block == 0 && s[3] % block == 0,
              fmt::format("[conv_exp_between] {} does not divide into blocks of {} x {}", to_string(s), block, block));
  GSNET_CHECK(before.inputs() == s[1] * block * block && after.inputs() == before.outputs(),
              fmt::format("[conv_exp_between] maps from {} to {} and from {} channels do not fit {}", before.inputs(),
                          before.outputs(), after.inputs(), to_string(s)));
  GSNET_CHECK(bias == nullptr || bias->shape() == Shape{after.outputs()},
              fmt::format("[conv_exp_between] {} output channels need a bias ({}), got {}", after.outputs(),
                          after.outputs(), bias != nullptr ? to_string(bias->shape()) : ""));
  const Shape inner = {s[0], before.outputs(), s[2] / block, s[3] / block};
  check_conv_exp(inner, k.shape(), spec);
  Tensor y = backend.empty({s[0], after.outputs(), inner[2], inner[3]}, Layout::channels_last);
  const bool wants_dk = x.tape->mode().record && k.tracked();  // dx needs no iterates
  auto saved = std::make_shared<SeriesSaved>();
  const SeriesEnds ends = {block, &before, &after, bias != nullptr ? &bias->value : nullptr};
  backend.conv_exp_between(x.value, k.value, spec, ends, y, wants_dk ? saved.get() : nullptr);
  const Var none;
  // Who hands x back keeps it itself, or makes it from y: not by the op that made it, which keeps nothing then.
  const bool chained = wants_dk && spec.save == SeriesSave::output;
  const Var read = chained || spec.save == SeriesSave::iterates ? Var{x.value} : x;
  auto input = std::make_shared<std::optional<Kept>>(wants_dk && !saved->with_input ? read : Var());
  std::shared_ptr<HandedBack> result;
  const std::shared_ptr<HandedBack> given = chained ? x.handed_back : nullptr;
  if (given) given->promise();
  if (chained && block == 1 && is_permutation(before) && is_permutation(after)) {
    result = std::make_shared<HandedBack>([input] { input->reset(); });
  }
  Var made = x.tape->record(
      "conv_exp", y, {&x, &k, bias != nullptr ? bias : &none},
      [&backend, input, result, given, kept = Kept(k), spec, saved, block, before, after,
       b = result && bias != nullptr ? bias->value : Tensor()](GradSink& sink, const Tensor& dy) {
        if (sink.needs(2)) {
          Tensor db = backend.empty({after.outputs()});
          backend.sum_to_channels(dy, db);
          sink.give(2, db);
        }
        Tensor dx, dk, xv, kv = kept();
        if (sink.needs(1)) {
          xv = *input ? (**input)() : undone(backend, result->take(), kv, spec, {block, &before, &after, &b});
        }
        if (given) given->give(xv);
        backend.conv_exp_between_backward(std::move(xv), std::move(kv), spec, {block, &before, &after, nullptr}, *saved,
                                          dy, sink.needs(0) ? &dx : nullptr, sink.needs(1) ? &dk : nullptr);
        if (dk) sink.give(1, dk);
        if (dx) sink.give(0, dx);
      });
  if (made.tracked()) made.handed_back = result;
  return made;
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
