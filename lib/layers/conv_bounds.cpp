#include "layers/conv_bounds.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "core/error.h"
#include "layers/verified_norm.h"

namespace gsnet {
namespace {

constexpr int64_t kDenseSide = 1024;         // the shorter side of an operator that is written out
constexpr int64_t kDenseNumbers = 1 << 22;   // and its elements
constexpr int64_t kCoarseGrid = 32;          // frequencies an axis where the map has more
constexpr double kFourierOperations = 1e11;  // complex multiply-adds spent on one layer

/// Kernels of one group in double: (out, in, height, width).
struct Kernel {
  const double* values;
  int64_t out, in, height, width;

  int64_t size() const { return out * in * height * width; }
  double at(int64_t o, int64_t i, int64_t h, int64_t w) const {
    return values[((o * in + i) * height + h) * width + w];
  }
};

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

/// One axis of a strided, dilated, padded convolution as one of stride 1 between phases: tap t of an output p reads
/// phase `phase[t]` at p + shift[t].
struct Axis {
  int64_t extent, outputs, stride;
  std::vector<int64_t> shift, phase;
  int64_t lowest, highest;  ///< of the shifts
};

Axis axis_of(int64_t extent, int64_t outputs, int64_t taps, int64_t stride, int64_t dilation, int64_t pad) {
  Axis axis{(extent + stride - 1) / stride, outputs, stride, {}, {}, 0, 0};
  for (int64_t t = 0; t < taps; ++t) {
    const int64_t place = t * dilation - pad, shift = floor_div(place, stride);
    axis.shift.push_back(shift);
    axis.phase.push_back(place - shift * stride);
  }
  axis.lowest = std::ranges::min(axis.shift);
  axis.highest = std::ranges::max(axis.shift);
  return axis;
}

/// Points of the Fourier grid of an axis, and by what a bound on the grid is divided to hold everywhere.
struct Grid {
  int64_t points;
  double division;
};

Grid grid_of(const Axis& axis, Border border) {
  if (border == Border::circular) return {axis.extent, 1};
  const int64_t exact = std::max(axis.outputs + axis.highest, axis.extent - axis.lowest);
  const int64_t degree = (axis.highest - axis.lowest + 1) / 2, coarse = std::max(kCoarseGrid, 24 * degree);
  if (exact <= coarse) return {exact, 1};
  return {coarse, std::cos(std::numbers::pi * static_cast<double>(degree) / static_cast<double>(coarse))};
}

using Complex = std::complex<double>;

/// The block at one frequency: (out, phases in).
void symbol(const Kernel& k, const Axis& down, const Axis& right, double angle_down, double angle_right,
            std::vector<Complex>& block) {
  const int64_t phases = down.stride * right.stride;
  block.assign(static_cast<size_t>(k.out * k.in * phases), 0);
  for (int64_t h = 0; h < k.height; ++h) {
    for (int64_t w = 0; w < k.width; ++w) {
      const auto sh = static_cast<size_t>(h), sw = static_cast<size_t>(w);
      const Complex turn = std::polar(
          1.0, angle_down * static_cast<double>(down.shift[sh]) + angle_right * static_cast<double>(right.shift[sw]));
      const int64_t phase = down.phase[sh] * right.stride + right.phase[sw];
      for (int64_t o = 0; o < k.out; ++o) {
        for (int64_t i = 0; i < k.in; ++i) {
          block[static_cast<size_t>((o * k.in + i) * phases + phase)] += k.at(o, i, h, w) * turn;
        }
      }
    }
  }
}

double fourier_operations(const Kernel& k, const Axis& down, const Axis& right, Border border) {
  const double points = static_cast<double>(grid_of(down, border).points * grid_of(right, border).points) / 2 + 1;
  const auto rows = static_cast<double>(k.out), columns = static_cast<double>(k.in * down.stride * right.stride);
  return points * (std::min(rows, columns) * rows * columns + static_cast<double>(k.size()));
}

void add_fourier(const Kernel& k, const Axis& down, const Axis& right, Border border, VerifiedNorm& norm) {
  const int64_t across = grid_of(down, border).points, along = grid_of(right, border).points;
  std::vector<Complex> block;
  for (int64_t a = 0; a < across; ++a) {
    for (int64_t b = 0; b < along; ++b) {
      const int64_t mirrored_a = (across - a) % across, mirrored_b = (along - b) % along;
      if (std::pair(mirrored_a, mirrored_b) < std::pair(a, b)) continue;  // the complex conjugate was there
      symbol(k, down, right, 2 * std::numbers::pi * static_cast<double>(a) / static_cast<double>(across),
             2 * std::numbers::pi * static_cast<double>(b) / static_cast<double>(along), block);
      norm.add(block, k.out, k.in * down.stride * right.stride);
    }
  }
}

/// The operator of one group as a matrix (out Ho Wo, in H W).
std::vector<double> dense(const Kernel& k, const ConvMap& map, int64_t outputs_down, int64_t outputs_right) {
  const int64_t columns = k.in * map.height * map.width;
  std::vector<double> matrix(static_cast<size_t>(k.out * outputs_down * outputs_right * columns), 0);
  int64_t row = 0;
  for (int64_t o = 0; o < k.out; ++o) {
    for (int64_t p = 0; p < outputs_down; ++p) {
      for (int64_t q = 0; q < outputs_right; ++q, ++row) {
        for (int64_t h = 0; h < k.height; ++h) {
          const int64_t y = p * map.spec.stride[0] + h * map.spec.dilation[0] - map.spec.pad[0];
          if (y < 0 || y >= map.height) continue;
          for (int64_t w = 0; w < k.width; ++w) {
            const int64_t x = q * map.spec.stride[1] + w * map.spec.dilation[1] - map.spec.pad[1];
            if (x < 0 || x >= map.width) continue;
            for (int64_t i = 0; i < k.in; ++i) {
              matrix[static_cast<size_t>(row * columns + (i * map.height + y) * map.width + x)] = k.at(o, i, h, w);
            }
          }
        }
      }
    }
  }
  return matrix;
}

double l1_linf(const Kernel& k) {
  std::vector<double> rows(static_cast<size_t>(k.out), 0), columns(static_cast<size_t>(k.in), 0);
  for (int64_t o = 0; o < k.out; ++o) {
    for (int64_t i = 0; i < k.in; ++i) {
      double sum = 0;
      for (int64_t t = 0; t < k.height * k.width; ++t) {
        sum += std::abs(k.values[(o * k.in + i) * k.height * k.width + t]);
      }
      rows[static_cast<size_t>(o)] += sum;
      columns[static_cast<size_t>(i)] += sum;
    }
  }
  return std::sqrt(std::ranges::max(rows)) * std::sqrt(std::ranges::max(columns));
}

UpperBound flat_bound(const Kernel& k) {
  const UpperBound flat =
      gram_iteration_bound(std::span(k.values, static_cast<size_t>(k.size())), k.out, k.in * k.height * k.width);
  return flat * UpperBound::proven(outward(std::sqrt(static_cast<double>(k.height * k.width))));
}

LayerBound cheap_bound(const Kernel& k) {
  const LayerBound sums{UpperBound::proven(outward(l1_linf(k), 1e-9)), "l1*linf"}, gram{flat_bound(k), "gram"};
  return gram.value.value() < sums.value.value() ? gram : sums;
}

template <class Each>
void for_groups(const Tensor& k, int64_t groups, Each&& each) {
  const Shape& s = k.shape();
  const Tensor numbers = with_dtype(k, DType::f64);
  const auto values = numbers.host<double>();
  GSNET_CHECK(std::ranges::all_of(values, [](double v) { return std::isfinite(v); }),
              "[bound] the weight has an element that is not finite");
  const int64_t out = s[0] / groups;
  for (int64_t g = 0; g < groups; ++g) {
    each(Kernel{values.data() + g * out * s[1] * s[2] * s[3], out, s[1], s[2], s[3]});
  }
}

/// Whether a tap of an axis reads the map for any output.
bool reads_map(int64_t extent, int64_t outputs, int64_t stride, int64_t place) {
  const int64_t first = place >= 0 ? 0 : (-place + stride - 1) / stride;  // the first output that reads no border
  return first < outputs && first * stride + place < extent;
}

/// The kernel with 0 for taps that read zeros only: no bound counts them then, and every number that is left is the
/// operator's too.
Tensor without_idle_taps(const Tensor& k, const ConvMap& map, const Shape& y) {
  if (map.border == Border::circular) return k;
  const Shape& s = k.shape();
  const auto idle = [&](size_t axis, int64_t tap, int64_t extent) {
    const int64_t place = tap * map.spec.dilation[axis] - map.spec.pad[axis];
    return !reads_map(extent, y[static_cast<int>(axis) + 2], map.spec.stride[axis], place);
  };
  Tensor live = Tensor::empty(s, DType::f64);
  const Tensor from = with_dtype(k, DType::f64);
  const double* value = from.data<double>();
  double* to = live.data<double>();
  for (int64_t row = 0; row < s[0] * s[1]; ++row) {
    for (int64_t h = 0; h < s[2]; ++h) {
      for (int64_t w = 0; w < s[3]; ++w, ++value, ++to) {
        const bool none = std::isfinite(*value) && (idle(0, h, map.height) || idle(1, w, map.width));
        *to = none ? 0 : *value;
      }
    }
  }
  return live;
}

}  // namespace

UpperBound conv_partial_norm_bound(const Tensor& k, int64_t groups) {
  UpperBound largest = UpperBound::proven(0);
  for_groups(k, groups, [&](const Kernel& kernel) { largest = largest.max(flat_bound(kernel)); });
  return largest;
}

LayerBound conv_norm_bound(const Tensor& k, int64_t groups) {
  LayerBound largest{UpperBound::proven(0), "zero"};
  for_groups(k, groups, [&](const Kernel& kernel) {
    const LayerBound bound = cheap_bound(kernel);
    if (bound.value.value() > largest.value.value()) largest = bound;
  });
  return largest;
}

LayerBound conv_operator_bound(const Tensor& kernel, const ConvMap& map) {
  const Shape &s = kernel.shape(),
              y = map.border == Border::circular
                      ? Shape{1, s[0], map.height / map.spec.stride[0], map.width / map.spec.stride[1]}
                      : conv2d_shape({1, s[1] * map.spec.groups, map.height, map.width}, s, map.spec);
  const Tensor k = without_idle_taps(kernel, map, y);
  GSNET_CHECK(
      map.border == Border::zero || (map.height % map.spec.stride[0] == 0 && map.width % map.spec.stride[1] == 0),
      fmt::format("[bound] a circular map of {} x {} does not divide into strides of {} x {}", map.height, map.width,
                  map.spec.stride[0], map.spec.stride[1]));
  LayerBound best = conv_norm_bound(k, map.spec.groups);
  const Axis down = axis_of(map.height, y[2], s[2], map.spec.stride[0], map.spec.dilation[0], map.spec.pad[0]);
  const Axis right = axis_of(map.width, y[3], s[3], map.spec.stride[1], map.spec.dilation[1], map.spec.pad[1]);
  const int64_t rows = s[0] / map.spec.groups * y[2] * y[3], columns = s[1] * map.height * map.width;
  const bool written_out = map.border == Border::zero && std::min(rows, columns) <= kDenseSide &&
                           rows * columns <= kDenseNumbers && map.spec.groups * rows * columns <= 8 * kDenseNumbers;
  VerifiedNorm norm;
  double operations = 0, division = 1;
  for_groups(k, map.spec.groups, [&](const Kernel& one) {
    if (written_out) return norm.add(std::span<const double>(dense(one, map, y[2], y[3])), rows, columns);
    operations += fourier_operations(one, down, right, map.border);
    if (operations < kFourierOperations) add_fourier(one, down, right, map.border, norm);
  });
  if (operations >= kFourierOperations) return best;
  if (!written_out) division = grid_of(down, map.border).division * grid_of(right, map.border).division;
  // 1e-11 covers the rounding of the symbols: no tap's norm is above the operator's, of which it is a part.
  const UpperBound sharp = norm.value() * UpperBound::proven(outward(1 / division, 1e-11));
  if (sharp.value() < best.value.value()) best = {sharp, written_out ? "dense" : "fourier"};
  return best;
}

}  // namespace gsnet
