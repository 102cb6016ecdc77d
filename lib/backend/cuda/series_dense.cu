#include "backend/cuda/series_dense.h"

#include "backend/cuda/loops.h"
#include "backend/cuda/series_fused.h"

namespace gsnet::cuda {
namespace {

/// Places in rows, in matrices and in kernels.
struct DenseShape {
  int64_t images, channels, m, height, width, high, wide;  ///< m channels a group; taps up and to the left

  DenseShape(const Shape& x, const Shape& k)
      : images(x[0]), channels(x[1]), m(k[1]), height(x[2]), width(x[3]), high(k[2] / 2), wide(k[3] / 2) {}

  GSNET_ANYWHERE int64_t groups() const { return channels / m; }
  GSNET_ANYWHERE int64_t pixels() const { return height * width; }
  GSNET_ANYWHERE int64_t taps() const { return (2 * high + 1) * (2 * wide + 1); }
  GSNET_ANYWHERE int64_t side() const { return pixels() * m; }
  GSNET_ANYWHERE int64_t slot() const { return images * side(); }
  /// The tap that leads from pixel `to` to pixel `from`; -1: none does.
  GSNET_DEVICE int64_t tap(int64_t from, int64_t to) const {
    const int64_t row = from / width - to / width + high, column = from % width - to % width + wide;
    const bool reaches = row >= 0 && row <= 2 * high && column >= 0 && column <= 2 * wide;
    return reaches ? row * (2 * wide + 1) + column : -1;
  }
};

/// One row's number: which group, image, pixel and channel it is of.
struct RowPlace {
  int64_t group, image, pixel, channel;

  GSNET_DEVICE RowPlace(const DenseShape& s, int64_t i)
      : group(i / s.slot()), image(i / s.side() % s.images), pixel(i / s.m % s.pixels()), channel(i % s.m) {}
  GSNET_DEVICE int64_t in_map(const DenseShape& s) const {
    return (image * s.pixels() + pixel) * s.channels + group * s.m + channel;
  }
};

/// Rows of several slots.
struct Slots {
  DenseShape shape;
  int64_t count;
  float* data;

  GSNET_ANYWHERE int64_t group_stride() const { return count * shape.slot(); }
  /// Number i of (group; image; pixel, channel) of a slot.
  GSNET_DEVICE float& at(int64_t slot, int64_t i) const {
    return data[i / shape.slot() * group_stride() + slot * shape.slot() + i % shape.slot()];
  }
};

/// (g; pixel, in; pixel, out): rows times it are J of them.
Tensor matrices_of(Runtime& runtime, const DenseShape& s, const Tensor& k) {
  const int64_t side = s.side();
  Tensor made = Tensor::empty({s.groups(), side, side}, DType::f32, Layout::row_major, runtime.memory());
  const float* from = k.data<float>();
  float* to = made.data<float>();
  for_each(runtime.stream(), made.numel(), [=] GSNET_DEVICE(int64_t e) {
    const int64_t o = e % s.m, q = e / s.m % s.pixels(), i = e / side % s.m, p = e / (side * s.m) % s.pixels();
    const int64_t group = e / (side * side), tap = s.tap(p, q);
    to[e] = tap < 0 ? 0.0F : from[((group * s.m + o) * s.m + i) * s.taps() + tap];
  });
  return made;
}

/// The adjoint of matrices_of.
void gather_taps(Runtime& runtime, const DenseShape& s, const Tensor& matrices, Tensor& dk) {
  const int64_t side = s.side();
  const float* from = matrices.data<float>();
  float* to = dk.data<float>();
  for_each(runtime.stream(), dk.numel(), [=] GSNET_DEVICE(int64_t e) {
    const int64_t tap = e % s.taps(), i = e / s.taps() % s.m, o = e / (s.taps() * s.m) % s.m;
    const int64_t group = e / (s.taps() * s.m * s.m);
    float total = 0;
    for (int64_t p = 0; p < s.pixels(); ++p) {
      for (int64_t q = 0; q < s.pixels(); ++q) {
        if (s.tap(p, q) == tap) total += from[group * side * side + (p * s.m + i) * side + q * s.m + o];
      }
    }
    to[e] = total;
  });
}

struct DenseSeries {
  Runtime& runtime;
  DenseShape shape;
  Precision precision;
  Tensor matrices, product;  ///< of a slot, without gaps

  DenseSeries(Runtime& on, const Shape& x, const Tensor& k, const SeriesSpec& spec)
      : runtime(on),
        shape(x, k.shape()),
        precision(precision_of(spec.products)),
        matrices(matrices_of(on, shape, k)),
        product(Tensor::empty({shape.groups() * shape.slot()}, DType::f32, Layout::row_major, on.memory())) {}

  Tensor slots(int64_t count) const {
    return Tensor::empty({count * shape.groups() * shape.slot()}, DType::f32, Layout::row_major, runtime.memory());
  }

  void multiply(const Slots& slots, int64_t slot) {
    Product rows = Product::dense(shape.groups(), shape.images, shape.side(), shape.side());
    rows.stride_a = slots.group_stride();
    rows.precision = precision;
    runtime.multiply(rows, slots.data + slot * shape.slot(), matrices.data<float>(), product.data<float>());
  }

  /// body(number of a slot, its place in a channels-last map) for all of them.
  template <class Body>
  void each(Body body) const {
    const DenseShape s = shape;
    for_each(runtime.stream(), s.groups() * s.slot(),
             [=] GSNET_DEVICE(int64_t i) { body(i, RowPlace(s, i).in_map(s)); });
  }
};

double coefficient(const SeriesSpec& spec, int at) { return spec.coefficients[static_cast<size_t>(at)]; }

}  // namespace

bool dense_series_fits(const Shape& x, const Shape& k) {
  constexpr int64_t kMostPixels = 16, kMostBytes = int64_t{256} << 20;
  const DenseShape s(x, k);
  if (s.pixels() > kMostPixels) return false;
  return s.side() <= kMostBytes / 4 / s.side() / s.groups();
}

void dense_forward(Runtime& runtime, const Tensor& x, const Tensor& k, const SeriesSpec& spec, const Tensor* bias,
                   Tensor& y, Tensor* kept) {
  DenseSeries series(runtime, x.shape(), k, spec);
  const int degree = spec.degree();
  const int64_t count = kept != nullptr ? degree : 3;  // x, and two iterates in turn
  Tensor own = kept != nullptr ? *kept : series.slots(count);
  const Slots slots{series.shape, count, own.data<float>()};
  const float* from = x.data<float>();
  series.each([=] GSNET_DEVICE(int64_t i, int64_t at) { slots.at(0, i) = from[at]; });
  const float* sums = series.product.data<float>();
  const float* added = bias != nullptr ? bias->data<float>() : nullptr;
  float* to = y.data<float>();
  const int64_t channels = series.shape.channels;
  const auto last = static_cast<float>(coefficient(spec, 0));
  int64_t slot = 0;
  for (int i = degree; i >= 1; --i) {
    const auto factor = static_cast<float>(coefficient(spec, i) / coefficient(spec, i - 1));
    series.multiply(slots, slot);
    if (i == 1) {
      series.each([=] GSNET_DEVICE(int64_t n, int64_t at) {
        const float result = rounded_product(last, slots.at(0, n) + factor * sums[n]);
        to[at] = added != nullptr ? result + added[at % channels] : result;
      });
      break;
    }
    slot = kept != nullptr ? slot + 1 : 1 + i % 2;
    const int64_t next = slot;
    series.each([=] GSNET_DEVICE(int64_t n, int64_t) { slots.at(next, n) = slots.at(0, n) + factor * sums[n]; });
  }
}

void dense_backward(Runtime& runtime, const Tensor& dy, const Tensor& k, const SeriesSpec& spec, Tensor* dx,
                    Tensor* kept) {
  DenseSeries series(runtime, dy.shape(), k, spec);
  const int degree = spec.degree();
  const int64_t count = kept != nullptr ? degree : 2;
  Tensor own = kept != nullptr ? *kept : series.slots(count);
  const Slots slots{series.shape, count, own.data<float>()};
  const auto slot_of = [&](int i) { return kept != nullptr ? degree - i : i % 2; };
  const float* from = dy.data<float>();
  float* to = dx != nullptr ? dx->data<float>() : nullptr;
  const float* sums = series.product.data<float>();
  const auto first = static_cast<float>(coefficient(spec, 0)), second = static_cast<float>(coefficient(spec, 1));
  const int64_t start = slot_of(1);
  series.each([=] GSNET_DEVICE(int64_t n, int64_t at) {
    slots.at(start, n) = second * from[at];
    if (to != nullptr) to[at] = first * from[at];
  });
  for (int i = 1; i <= degree && (i < degree || dx != nullptr); ++i) {
    series.multiply(slots, slot_of(i));
    const bool goes_on = i < degree;
    const int64_t next = goes_on ? slot_of(i + 1) : 0;
    const auto factor = goes_on ? static_cast<float>(-coefficient(spec, i + 1) / coefficient(spec, i)) : 0.0F;
    series.each([=] GSNET_DEVICE(int64_t n, int64_t at) {
      if (to != nullptr) to[at] -= sums[n];
      if (goes_on) slots.at(next, n) = factor * sums[n];
    });
  }
}

void dense_gradient(Runtime& runtime, const Shape& x, const SeriesSpec& spec, const Tensor& iterates,
                    const Tensor& adjoints, Tensor& dk) {
  const DenseShape s(x, dk.shape());
  const int64_t side = s.side();
  const Tensor matrices = Tensor::empty({s.groups(), side, side}, DType::f32, Layout::row_major, runtime.memory());
  Product rows = Product::dense(s.groups(), side, side, spec.degree() * s.images, true);
  rows.precision = precision_of(spec.products);
  runtime.multiply(rows, iterates.data<float>(), adjoints.data<float>(), matrices.data<float>());
  gather_taps(runtime, s, matrices, dk);
}

}  // namespace gsnet::cuda
