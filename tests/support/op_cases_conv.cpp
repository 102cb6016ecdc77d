// Convolutions and series.
#include <cmath>
#include <limits>

#include "layers/orthogonal/coefficients.h"
#include "support/op_case_inputs.h"

namespace gsnet::test {
namespace {

OpCase conv(const std::string& name, const OpInput& x, const Shape& w, const ConvSpec& spec, bool bias) {
  OpCase made{"conv2d " + name, {x, {w}}, nullptr, bias ? -1 : 0, 1e-5};
  if (bias) made.inputs.push_back({{w[0]}});
  made.run = [spec, bias](Tape&, const std::vector<Var>& v) {
    return ops::conv2d(v[0], v[1], bias ? &v[2] : nullptr, spec);
  };
  return made;
}

/// Bias, addend and a range besides; the parity of clipped outputs at the ends is a matter of rounding alone.
OpCase conv_epilogue(const std::string& name, const OpInput& x, const Shape& w, const ConvSpec& spec, double low,
                     double high) {
  const OpInput added{conv2d_shape(x.shape, w, spec), Layout::channels_last};
  return {"conv2d epilogue, " + name, {x, {w}, {{w[0]}}, added}, [spec, low, high](Tape&, const std::vector<Var>& v) {
            return ops::conv2d(v[0], v[1], {.bias = &v[2], .addend = &v[3], .low = low, .high = high}, spec);
          }};
}

/// The kernel is no free input: an op that promises J' = -J cannot be asked for its adjoint at other kernels, so that
/// differences are taken through skew().
OpCase series(const std::string& name, const OpInput& x, const Shape& k, int64_t groups, std::vector<double> c,
              SeriesSave save, SeriesProducts products = SeriesProducts::direct) {
  const SeriesSpec spec{std::move(c), groups, save, products};
  return {"conv_exp " + name,
          {x, {k, Layout::row_major, scaled(0.5 / std::sqrt(static_cast<double>(k[1] * k[2] * k[3])))}},
          [spec](Tape&, const std::vector<Var>& v) { return ops::conv_exp(v[0], ops::skew(v[1], spec.groups), spec); },
          0,
          2e-5};
}

/// With what is around it: channels dealt out to groups, missing ones filled, surplus ones dropped.
OpCase series_between(const char* name, OpInput x, int64_t block, int64_t inner, int64_t outputs, bool bias) {
  const int64_t groups = 2, deep = x.shape[1] * block * block;
  OpCase made{name, {x, {{inner, inner / groups, 3, 3}, Layout::row_major, scaled(0.1)}}, {}, 0, 2e-5};
  if (bias) made.inputs.push_back({{outputs}});
  made.run = [=](Tape&, const std::vector<Var>& v) {
    const ChannelMap before = ChannelMap::shuffle(deep, groups, true).then(ChannelMap::per_group(deep, inner, groups));
    return ops::conv_exp_between(v[0], ops::skew(v[1], groups), {{1, 1, 0.5, 0.1}, groups}, block, before,
                                 ChannelMap::per_group(inner, outputs, groups), bias ? &v[2] : nullptr);
  };
  if (bias) made.linear_in = -1;
  return made;
}

/// Two layers and what is between them, none of which keeps its input but the last.
OpCase made_again(Pairing pairing, PairOrder order) {
  constexpr int64_t kChannels = 8, kGroups = 2;
  const OpInput kernel{{kChannels, kChannels / kGroups, 3, 3}, Layout::row_major, scaled(0.05)};
  constexpr int64_t kSize = kChannels / kGroups;
  const OpInput pointwise{{kChannels, kSize, 1, 1}, Layout::row_major, scaled(0.2)};
  OpCase made{
      std::string("conv_exp, inputs made again, ") + (order == PairOrder::max_first ? "max first" : "min first"),
      {map(3, kChannels, 5, 4), kernel, kernel, {{kChannels}}, pointwise, {{kChannels}}},
      {},
      -1,
      2e-5};
  made.run = [=](Tape&, const std::vector<Var>& v) {
    SeriesSpec spec{{1, 1, 1. / 2, 1. / 6, 1. / 24}, kGroups, SeriesSave::output};
    spec.inverse = inverse_coefficients(spec.coefficients, 1.5, 1e-9);
    const ChannelMap same = ChannelMap::head(kChannels, kChannels),
                     shuffle = ChannelMap::shuffle(kChannels, kGroups, true);
    Var y = ops::conv_exp_between(v[0], ops::skew(v[1], kGroups), spec, 1, same, shuffle, &v[3]);
    y = ops::maxmin(y, {pairing, order});
    const Var e = ops::matrix_exp(ops::reshape(ops::skew(v[4], kGroups), {kGroups, kSize, kSize}));
    y = ops::conv2d_isometry(y, ops::reshape(e, {kChannels, kSize, 1, 1}), &v[5], {.groups = kGroups});
    return ops::conv_exp_between(y, ops::skew(v[2], kGroups), spec, 1, shuffle, same, nullptr);
  };
  return made;
}

}  // namespace

void add_convolutions(std::vector<OpCase>& cases) {
  cases.push_back(conv("3x3", map(2, 6, 7, 5), {8, 6, 3, 3}, {.pad = {1, 1, 1, 1}}, true));
  cases.push_back(conv("stride", map(2, 4, 8, 9), {6, 4, 3, 3}, {.stride = {2, 3}, .pad = {1, 1, 1, 1}}, false));
  cases.push_back(conv("dilation", map(1, 3, 9, 9), {5, 3, 3, 3}, {.pad = {2, 2, 2, 2}, .dilation = {2, 2}}, false));
  cases.push_back(conv("groups", map(2, 8, 5, 5), {12, 2, 3, 3}, {.pad = {1, 1, 1, 1}, .groups = 4}, true));
  cases.push_back(
      conv("depthwise", map(2, 6, 6, 6), {6, 1, 3, 3}, {.stride = {2, 2}, .pad = {1, 1, 1, 1}, .groups = 6}, false));
  cases.push_back(conv("one-sided padding, 2x4", map(1, 4, 6, 6), {4, 4, 2, 4}, {.pad = {1, 0, 0, 2}}, false));
  cases.push_back(conv("1x1", map(3, 8, 4, 4), {8, 4, 1, 1}, {.groups = 2}, false));
  cases.push_back(series_between("conv_exp between, channels added", map(3, 3, 4, 6), 2, 14, 14, false));
  cases.push_back(series_between("conv_exp between, channels dropped", map(17, 8, 5, 4), 1, 8, 5, true));
  cases.push_back(made_again(Pairing::neighbours, PairOrder::max_first));
  cases.push_back(made_again(Pairing::halves, PairOrder::min_first));
  const double unbounded = std::numeric_limits<double>::infinity();
  cases.push_back(conv_epilogue("relu", map(2, 8, 7, 5), {16, 8, 3, 3}, {.pad = {1, 1, 1, 1}}, 0, unbounded));
  cases.push_back(conv_epilogue("range", map(2, 6, 6, 6), {6, 1, 3, 3}, {.stride = {2, 2}, .groups = 6}, -1, 0.5));
  cases.push_back(conv_epilogue("1x1", map(3, 16, 4, 4), {8, 16, 1, 1}, {}, -unbounded, 1));
  cases.push_back(conv_epilogue("1x1 groups", map(3, 8, 4, 4), {8, 4, 1, 1}, {.groups = 2}, 0, 6));
  cases.push_back(conv_epilogue("sum", map(1, 3, 6, 6), {8, 3, 3, 3}, {}, -unbounded, unbounded));
  const std::vector<double> taylor = {1, 1, 1. / 2, 1. / 6, 1. / 24, 1. / 120}, three = {0.9, 0.8, 0.3, 0.1};
  cases.push_back(series("3x3", map(3, 4, 5, 6), {4, 4, 3, 3}, 1, taylor, SeriesSave::iterates));
  cases.push_back(series("groups", map(17, 12, 4, 4), {12, 3, 3, 3}, 4, taylor, SeriesSave::iterates));
  cases.push_back(series("recomputed", map(9, 8, 3, 3), {8, 4, 3, 3}, 2, three, SeriesSave::input));
  cases.push_back(series("5x5 kernel", map(2, 4, 6, 5), {4, 2, 5, 5}, 2, three, SeriesSave::iterates));
  cases.push_back(series("1x1 kernel", map(8, 16, 2, 2), {16, 8, 1, 1}, 2, taylor, SeriesSave::iterates));
  cases.push_back(
      series("fast, tiles", map(18, 32, 4, 9), {32, 16, 3, 3}, 2, taylor, SeriesSave::iterates, SeriesProducts::fast));
  cases.push_back(
      series("fast, 2x2 map", map(5, 24, 2, 2), {24, 12, 3, 3}, 2, taylor, SeriesSave::input, SeriesProducts::fast));
  cases.push_back(series("large map", map(1, 40, 20, 20), {40, 40, 3, 3}, 1, three, SeriesSave::iterates));
  cases.push_back(series("1x1 map", map(20, 8, 1, 1), {8, 4, 3, 3}, 2, three, SeriesSave::iterates));
}

}  // namespace gsnet::test
