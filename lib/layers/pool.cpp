#include "layers/pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops.h"
#include "core/error.h"
#include "layers/emit.h"
#include "layers/settings.h"
#include "layers/verified_norm.h"

namespace gsnet {
namespace {

constexpr int64_t kMostDenseAxis = 256;

/// The norm of the means of windows along one axis of `length` elements: a matrix (windows, length).
UpperBound axis_mean_norm(const PoolSpec& spec, size_t axis, int64_t length) {
  const int64_t kernel = spec.kernel[axis], before = spec.pad[axis], after = spec.pad[axis + 2];
  const int64_t windows = (length + before + after - kernel) / spec.stride[axis] + 1;
  std::vector<double> means(static_cast<size_t>(windows * length), 0.0);
  for (int64_t i = 0; i < windows; ++i) {
    const int64_t first = std::max<int64_t>(0, i * spec.stride[axis] - before);
    const int64_t end = std::min(length, i * spec.stride[axis] - before + kernel);
    const auto count = static_cast<double>(spec.count_pad ? kernel : end - first);
    for (int64_t j = first; j < end; ++j) means[static_cast<size_t>(i * length + j)] = 1 / count;
  }
  VerifiedNorm norm;
  norm.add(means, windows, length);
  return norm.value() * UpperBound::proven(1 + 0x1p-40);  // 1 / count is rounded
}

}  // namespace

Pool::Pool(const Attributes& attributes) : global_(attributes.flag("global", false)) {
  attributes.allow_only({"kind", "kernel", "stride", "padding", "global", "count_pad"});
  const size_t kind = attributes.find("kind") == nullptr ? 0 : attributes.choice("kind", {"average", "l2", "max"});
  spec_.kind = kind == 0 ? PoolKind::average : kind == 1 ? PoolKind::l2 : PoolKind::max;
  spec_.kernel = pair_setting(attributes, "kernel", 2);
  spec_.stride = attributes.find("stride") == nullptr ? spec_.kernel : pair_setting(attributes, "stride", 1);
  spec_.pad = padding_setting(attributes);
  spec_.count_pad = attributes.flag("count_pad", false);
}

PoolSpec Pool::at(const Shape& x) const {
  GSNET_CHECK(x.rank() == 3, fmt::format("needs an input (C, H, W), got {}", to_string(x)));
  if (!global_) return spec_;
  return {.kind = spec_.kind, .kernel = {x[1], x[2]}, .stride = {x[1], x[2]}};
}

Var Pool::forward(Tape&, const Var& x) { return ops::pool(x, at({x.shape()[1], x.shape()[2], x.shape()[3]})); }

Shape Pool::output_shape(const Shape& x) const {
  const Shape y = pool_shape({1, x[0], x[1], x[2]}, at(x));
  return {y[1], y[2], y[3]};
}

// A pixel lies in at most `overlap` windows; a mean of n pixels moves by at most |d| / sqrt(n), a norm or a maximum by
// |d|. A window over the edge has fewer pixels; divided by its whole size they move it by no more than a full one.
// A mean over a window is one along each axis after the other, borders and counts too: the norm is that of two
// matrices.
LayerBound Pool::lipschitz(const Shape& x) const {
  output_shape(x);  // throws where the window does not fit
  const PoolSpec spec = at(x);
  const auto overlap = [&](size_t i) {
    const int64_t windows = (spec.kernel[i] + spec.stride[i] - 1) / spec.stride[i];
    return static_cast<double>(windows);
  };
  double bound = std::sqrt(overlap(0) * overlap(1));
  const bool padded = spec.pad != std::array<int64_t, 4>{0, 0, 0, 0};
  if (spec.kind == PoolKind::average && (spec.count_pad || !padded)) {
    bound /= std::sqrt(static_cast<double>(spec.kernel[0] * spec.kernel[1]));
  }
  const LayerBound by_overlap{UpperBound::proven(bound == 1 ? 1 : outward(bound, 1e-12)), "window overlap"};
  const bool separate = spec.kernel == spec.stride && !padded;
  if (spec.kind != PoolKind::average || separate || std::max(x[1], x[2]) > kMostDenseAxis) return by_overlap;
  const UpperBound dense = axis_mean_norm(spec, 0, x[1]) * axis_mean_norm(spec, 1, x[2]);
  return dense.value() < by_overlap.value.value() ? LayerBound{dense, "dense"} : by_overlap;
}

// A norm sums what is not negative and a mean at most |window| numbers; each is off relatively.
RoundingBound Pool::rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const {
  const PoolSpec spec = at(x[0]);
  if (spec.kind == PoolKind::max) return {};
  const auto window = static_cast<double>(spec.kernel[0] * spec.kernel[1]);
  // Squares below 2^-149 are lost: a norm is off by at most sqrt(window) 2^-74.
  const Shape y = output_shape(x[0]);
  const double lost = std::sqrt(window * static_cast<double>(y.numel())) * 0x1p-74;
  return {rounding_factor(arithmetic, 2 * window + 4) * lipschitz(x[0]).value,
          UpperBound::proven(outward(lost, 1e-12))};
}

Emitter::Value Pool::emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape> shapes) const {
  return emitter.pool(x[0], at(shapes[0]), global_);
}

}  // namespace gsnet
