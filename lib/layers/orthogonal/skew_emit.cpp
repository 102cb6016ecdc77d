// What an orthogonal convolution is in plain operators: one matrix where that is small, else its series term by term.
#include <algorithm>

#include "layers/emit.h"
#include "layers/orthogonal/skew_conv.h"

namespace gsnet {
namespace {

/// Beyond 2 x 2 pixels the whole exponential is emitted only where it is less work than the series and no larger than
/// this many numbers.
constexpr int64_t kAlwaysDense = 4, kMostDensePixels = 16, kMostDenseNumbers = int64_t{1} << 20U;

}  // namespace

Tensor SkewConv::emitted_matrix() const {
  const Tensor e = with_dtype(executed_exponential(backend_.download(evaluation_kernel())), DType::f32);
  const int64_t m = inner_ / spec_.groups, columns = before_.inputs();
  Tensor matrix = Tensor::empty({spec_.out_channels, columns}, DType::f32);
  std::ranges::fill(matrix.host<float>(), 0.0F);
  for (int64_t row = 0; row < spec_.out_channels; ++row) {
    const int64_t from = after_.source()[static_cast<size_t>(row)];
    if (from < 0) continue;
    for (int64_t i = 0; i < m; ++i) {
      const int64_t column = before_.source()[static_cast<size_t>(from / m * m + i)];
      if (column >= 0) matrix.data<float>()[row * columns + column] = e.data<float>()[from * m + i];
    }
  }
  return matrix;
}

std::optional<Tensor> SkewConv::emitted_bias() const {
  return spec_.bias ? std::optional(emitted(backend_, bias_.value)) : std::nullopt;
}

Emitter::Value SkewConv::emit(Emitter& emitter, std::span<const Emitter::Value> x,
                              std::span<const Shape> shapes) const {
  const std::optional<Tensor> bias = emitted_bias();
  if (spec_.kernel == 1 && spec_.groups == 1) {  // blocks to channels, then a matrix: a convolution with that stride
    const int64_t s = spec_.stride;
    const Tensor w = emitted_matrix().view({spec_.out_channels, shapes[0][0], s, s});
    return emitter.conv2d(x[0], w, bias ? &*bias : nullptr, {.stride = {s, s}});
  }
  const Shape y = output_shape(shapes[0]);
  const bool fitted = !after_.is_identity();
  Emitter::Value value = spec_.stride > 1 ? emitter.space_to_depth(x[0], spec_.stride) : x[0];
  if (!before_.is_identity()) value = emitter.map_channels(value, before_);
  value = emit_exponential(emitter, value, y.with(0, inner_), bias && !fitted ? &*bias : nullptr);
  if (!fitted) return value;
  value = emitter.map_channels(value, after_);
  return bias ? emitter.scale_shift(value, nullptr, &*bias) : value;
}

Emitter::Value SkewConv::emit_exponential(Emitter& emitter, Emitter::Value x, const Shape& map,
                                          const Tensor* bias) const {
  const Tensor k = evaluation_kernel();
  const ConvSpec pointwise{.groups = spec_.groups};
  const int64_t m = inner_ / spec_.groups, pixels = map[1] * map[2], pad = spec_.kernel / 2;
  if (spec_.kernel == 1) {
    const Tensor e = with_dtype(executed_exponential(backend_.download(k)), DType::f32);
    return emitter.conv2d(x, e.view({inner_, m, 1, 1}), bias, pointwise);
  }
  const bool small = pixels <= kAlwaysDense ||
                     (pixels <= kMostDensePixels && pixels < evaluate_series_.degree() * spec_.kernel * spec_.kernel &&
                      pixels * pixels * inner_ * m <= kMostDenseNumbers);
  Emitter::Value y = x;
  if (small && map[1] == map[2]) {
    const Tensor w = emitted(backend_, dense_matrix(k, evaluate_series_, map[1]));
    y = emitter.reshape(emitter.conv2d(emitter.reshape(x, {inner_ * pixels, 1, 1}), w, nullptr, pointwise), map);
  } else {  // h <- J h + c_k x
    const Tensor w = emitted(backend_, k);
    const std::vector<double>& c = evaluate_series_.coefficients;
    const ConvSpec same{.pad = {pad, pad, pad, pad}, .groups = spec_.groups};
    for (size_t i = c.size() - 1; i-- > 0;) {
      const Emitter::Value moved = emitter.conv2d(y, w, nullptr, same);
      y = i + 2 == c.size() ? emitter.axpby(c[i + 1], moved, c[i], x) : emitter.axpby(1, moved, c[i], x);
    }
  }
  return bias != nullptr ? emitter.scale_shift(y, nullptr, bias) : y;
}

}  // namespace gsnet
