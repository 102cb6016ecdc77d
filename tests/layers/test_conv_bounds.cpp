// Bounds of convolutions against singular values of the operator written out.
#include <catch2/catch.hpp>
#include <cmath>

#include "backend/backend.h"
#include "layers/bounds.h"
#include "layers/conv_bounds.h"
#include "layers/verified_norm.h"
#include "support/singular_values.h"

namespace gsnet {
namespace {

using Catch::Matchers::Contains;

struct Case {
  Tensor kernel;
  ConvMap map;
};

Tensor random_kernel(Random& random, const Shape& shape) {
  Tensor k = Tensor::empty(shape, DType::f64);
  for (double& value : k.host<double>()) value = random.normal();
  return k;
}

/// One group, any stride, padding and dilation, zero border.
Case zero_padded(uint64_t seed) {
  Random random{RandomKey(seed)};
  const int64_t groups = 1 + random.below(3), kernel = 1 + random.below(4), kernel_wide = 1 + random.below(4);
  const Shape shape = {groups * (1 + random.below(4)), 1 + random.below(4), kernel, kernel_wide};
  ConvMap map{.height = 4 + random.below(6), .width = 4 + random.below(6)};
  map.spec.groups = groups;
  for (int64_t& stride : map.spec.stride) stride = 1 + random.below(3);
  for (int64_t& dilation : map.spec.dilation) dilation = 1 + (random.below(3) == 0 ? 1 : 0);
  for (int64_t& pad : map.spec.pad) pad = random.below(3);
  const int64_t down = (kernel - 1) * map.spec.dilation[0] + 1, right = (kernel_wide - 1) * map.spec.dilation[1] + 1;
  map.height = std::max(map.height, down);
  map.width = std::max(map.width, right);
  return {random_kernel(random, shape), map};
}

/// The operator as a matrix, all groups, by running the reference machine on the identity.
Eigen::MatrixXd written_out(Backend& backend, const Case& c) {
  const int64_t channels = c.kernel.shape()[1] * c.map.spec.groups, in = channels * c.map.height * c.map.width;
  Tensor x = Tensor::empty({in, channels, c.map.height, c.map.width}, DType::f64, Layout::channels_last);
  for (double& value : x.host<double>()) value = 0;
  for (int64_t i = 0; i < in; ++i) x.data<double>()[i * in + i] = 1;
  const Tensor w = backend.upload(c.kernel);
  const Shape shape = conv2d_shape(x.shape(), w.shape(), c.map.spec);
  Tensor y = backend.empty(shape, Layout::channels_last);
  backend.conv2d(backend.upload(x), w, {}, c.map.spec, y);
  const Tensor host = backend.download(y);
  const int64_t out = shape.numel() / in;
  Eigen::MatrixXd matrix(out, in);
  for (int64_t i = 0; i < in; ++i) {
    for (int64_t o = 0; o < out; ++o) matrix(o, i) = host.data<double>()[i * out + o];
  }
  return matrix;
}

/// The same for a circular border: every tap of every output, wrapped around.
Eigen::MatrixXd written_out_circular(const Case& c) {
  const Shape& s = c.kernel.shape();
  const int64_t groups = c.map.spec.groups, out = s[0] / groups, height = c.map.height, width = c.map.width;
  const int64_t down = height / c.map.spec.stride[0], right = width / c.map.spec.stride[1];
  Eigen::MatrixXd matrix = Eigen::MatrixXd::Zero(s[0] * down * right, s[1] * groups * height * width);
  const double* k = c.kernel.data<double>();
  for (int64_t o = 0; o < s[0]; ++o) {
    for (int64_t i = 0; i < s[1]; ++i) {
      for (int64_t h = 0; h < s[2]; ++h) {
        for (int64_t w = 0; w < s[3]; ++w, ++k) {
          for (int64_t p = 0; p < down * right; ++p) {
            const int64_t y =
                (p / right * c.map.spec.stride[0] + h * c.map.spec.dilation[0] - c.map.spec.pad[0] + 8 * height) %
                height;
            const int64_t x =
                (p % right * c.map.spec.stride[1] + w * c.map.spec.dilation[1] - c.map.spec.pad[1] + 8 * width) % width;
            matrix(o * down * right + p, ((o / out * s[1] + i) * height + y) * width + x) += *k;
          }
        }
      }
    }
  }
  return matrix;
}

double norm_of(const Eigen::MatrixXd& matrix) { return test::singular_values(matrix).maxCoeff(); }

}  // namespace

TEST_CASE("bounds of zero-padded convolutions are never below the truth and close to it", "[bounds]") {
  const auto backend = make_backend({"reference", 2});
  for (uint64_t seed = 0; seed < 150; ++seed) {
    const Case c = zero_padded(seed);
    const double truth = norm_of(written_out(*backend, c));
    const LayerBound bound = conv_operator_bound(c.kernel, c.map);
    INFO("seed " << seed << ": truth " << truth << ", bound " << bound.value.value() << " by " << bound.method);
    CHECK(bound.value.value() >= truth * (1 - 1e-12));
    CHECK(bound.value.value() <= 1.01 * truth + 1e-12);
    CHECK(conv_norm_bound(c.kernel, c.map.spec.groups).value.value() >= truth * (1 - 1e-12));
  }
}

TEST_CASE("bounds of convolutions with circular borders are exact", "[bounds]") {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Random random{RandomKey(1000 + seed)};
    Case c = zero_padded(seed);
    c.map.border = Border::circular;
    c.map.height = c.map.spec.stride[0] * (1 + random.below(4));
    c.map.width = c.map.spec.stride[1] * (1 + random.below(4));
    const double truth = norm_of(written_out_circular(c));
    const LayerBound bound = conv_operator_bound(c.kernel, c.map);
    INFO("seed " << seed << ": truth " << truth << ", bound " << bound.value.value() << " by " << bound.method);
    CHECK(bound.value.value() >= truth * (1 - 1e-12));
    CHECK(bound.value.value() <= 1.002 * truth + 1e-12);
  }
}

TEST_CASE("on large maps the Fourier bound stays above the truth, on a coarse grid too", "[bounds]") {
  const auto backend = make_backend({"reference", 2});
  for (uint64_t seed = 0; seed < 12; ++seed) {
    Random random{RandomKey(seed)};
    const int64_t side = seed % 2 == 0 ? 40 : 20, kernel = 1 + 2 * random.below(3);  // 40: beyond the exact grid
    Case c{random_kernel(random, {2, 2, kernel, kernel}), {.height = side, .width = side}};
    c.map.spec.pad = {kernel / 2, kernel / 2, kernel / 2, kernel / 2};
    const LayerBound bound = conv_operator_bound(c.kernel, c.map);
    // The truth by power iteration on J'J: from below, which is enough for an order and close enough for a distance.
    Tensor x = Tensor::empty({1, 2, side, side}, DType::f64, Layout::channels_last);
    for (double& value : x.host<double>()) value = random.normal();
    const Tensor w = backend->upload(c.kernel);
    Tensor y = backend->empty(x.shape(), Layout::channels_last);
    double truth = 0;
    for (int round = 0; round < 200; ++round) {
      backend->conv2d(x, w, {}, c.map.spec, y);
      const double before = std::sqrt(backend->sum_of_squares(x));
      truth = std::sqrt(backend->sum_of_squares(y)) / before;
      backend->conv2d_dgrad(y, w, c.map.spec, x);
      const double after = std::sqrt(backend->sum_of_squares(x));
      for (double& value : x.host<double>()) value /= after;
    }
    INFO("seed " << seed << ", kernel " << kernel << ": truth " << truth << ", bound " << bound.value.value() << " by "
                 << bound.method);
    CHECK(bound.value.value() >= truth);
    CHECK(bound.value.value() <= 1.05 * truth);
  }
}

TEST_CASE("norms of matrices are proven from above", "[bounds]") {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Random random{RandomKey(seed)};
    const int64_t rows = 1 + random.below(24), columns = 1 + random.below(24);
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> a(rows, columns);
    for (int64_t i = 0; i < rows * columns; ++i) a.data()[i] = random.normal();
    const double truth = norm_of(a);
    VerifiedNorm norm;
    const std::span<const double> values(a.data(), static_cast<size_t>(a.size()));
    norm.add(values, rows, columns);
    CHECK(norm.value().value() >= truth * (1 - 1e-14));
    CHECK(norm.value().value() <= truth * 1.01);
    const double gram = gram_iteration_bound(values, rows, columns).value();
    CHECK(gram >= truth);
    CHECK(gram <= 1.05 * truth);
  }
}

TEST_CASE("numbers whose squares cannot be held have bounds all the same", "[bounds]") {
  for (const double size : {1e-300, 1e-170, 1e-100, 1e100, 1e150}) {
    INFO(size);
    const std::vector<double> a = {3 * size, 0, 0, 4 * size};
    const Tensor matrix = Tensor::of<double>({2, 2}, a), kernel = Tensor::of<double>({2, 2, 1, 1}, a);
    for (const double bound : {gram_iteration_bound(a, 2, 2).value(), matrix_norm_bound(matrix).value.value(),
                               conv_norm_bound(kernel, 1).value.value(),
                               conv_operator_bound(kernel, {.height = 3, .width = 3}).value.value()}) {
      CHECK(bound >= 4 * size);
      CHECK(bound <= 4.1 * size);
    }
    CHECK(row_distance(matrix, 0, 1).value() >= 5 * size * (1 - 1e-15));
    CHECK(row_distance(matrix, 0, 1).value() <= 5.01 * size);
  }
}

TEST_CASE("taps that read the border alone count for nothing", "[bounds]") {
  // A map of one row sees the middle row of 3 x 3 taps; the others, as large as they like, would cancel it by rounding.
  const std::vector<double> taps = {0, 0x1p56, 0, 0, 1.37, 0, 0, -0x1p56, 0};
  const ConvMap map{.spec = {.pad = {1, 1, 1, 1}}, .height = 1, .width = 5000};
  const LayerBound bound = conv_operator_bound(Tensor::of<double>({1, 1, 3, 3}, taps), map);
  CHECK(bound.value.value() >= 1.37);
  CHECK(bound.value.value() <= 1.37 * 1.01);
}

TEST_CASE("bounds refuse what is not a number, and maps that do not fit", "[bounds]") {
  Random random{RandomKey(1)};
  Tensor k = random_kernel(random, {2, 2, 3, 3});
  ConvMap map{.spec = {.stride = {2, 2}}, .height = 5, .width = 4, .border = Border::circular};
  CHECK_THROWS_WITH(conv_operator_bound(k, map), Contains("circular map of 5 x 4"));
  k.data<double>()[7] = std::nan("");
  map.border = Border::zero;
  CHECK_THROWS_WITH(conv_operator_bound(k, map), Contains("not finite"));
}

}  // namespace gsnet
