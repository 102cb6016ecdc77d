// The cpu machine's convolutions and products against the host loops in double.
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "backend/cpu/make.h"
#include "backend/host/host_backend.h"
#include "core/random.h"

namespace gsnet {
namespace {

class Oracle final : public host::HostBackend<double> {
 public:
  Oracle() : host::HostBackend<double>(1) {}
  std::string name() const override { return "oracle"; }
  std::string description() const override { return "host loops in double"; }
};

Tensor random_tensor(const Shape& shape, uint64_t seed, Layout layout = Layout::row_major) {
  Tensor x = Tensor::empty(shape, DType::f32, layout);
  Random random{RandomKey(seed)};
  for (float& value : x.host<float>()) value = static_cast<float>(random.normal());
  return x;
}

/// |a - b| / |b|, Euclidean.
double relative_error(const Tensor& a, const Tensor& b) {
  double apart = 0, size = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double difference = static_cast<double>(a.data<float>()[i]) - b.data<double>()[i];
    apart += difference * difference;
    size += b.data<double>()[i] * b.data<double>()[i];
  }
  return size == 0 ? std::sqrt(apart) : std::sqrt(apart / size);
}

constexpr double kTolerance = 2e-6;  // sums of up to a few thousand products in single precision

struct Case {
  const char* what;
  Shape x, w;
  ConvSpec spec;
};

std::vector<Case> cases() {
  return {
      {"same", {5, 16, 9, 7}, {24, 16, 3, 3}, {.pad = {1, 1, 1, 1}}},
      {"strided", {3, 8, 11, 10}, {16, 8, 3, 3}, {.stride = {2, 2}, .pad = {1, 1, 1, 1}}},
      {"asymmetric", {2, 8, 9, 9}, {8, 8, 4, 2}, {.stride = {1, 2}, .pad = {2, 0, 1, 1}}},
      {"dilated", {2, 16, 12, 12}, {16, 16, 3, 3}, {.pad = {2, 3, 2, 3}, .dilation = {2, 3}}},
      {"grouped", {4, 32, 8, 8}, {64, 8, 3, 3}, {.pad = {1, 1, 1, 1}, .groups = 4}},
      {"odd groups", {3, 15, 6, 5}, {10, 3, 3, 3}, {.pad = {1, 1, 1, 1}, .groups = 5}},
      {"depthwise", {3, 20, 10, 8}, {20, 1, 3, 3}, {.pad = {1, 1, 1, 1}, .groups = 20}},
      {"depthwise strided", {2, 32, 9, 9}, {32, 1, 5, 5}, {.stride = {2, 2}, .pad = {2, 2, 2, 2}, .groups = 32}},
      {"1x1", {6, 48, 5, 5}, {32, 48, 1, 1}, {}},
      {"1x1 strided", {6, 16, 8, 8}, {32, 16, 1, 1}, {.stride = {2, 2}}},
      {"1x1 grouped", {6, 64, 4, 4}, {64, 16, 1, 1}, {.groups = 4}},
      {"odd", {1, 3, 13, 17}, {7, 3, 5, 3}, {.stride = {3, 2}, .pad = {2, 1, 0, 2}}},
      {"whole picture", {4, 8, 4, 4}, {10, 8, 4, 4}, {}},
      {"window leaves a rest", {2, 8, 10, 10}, {8, 8, 3, 3}, {.stride = {3, 3}, .pad = {0, 0, 1, 1}}},
  };
}

}  // namespace

TEST_CASE("cpu: convolutions agree with the host loops", "[cpu][conv]") {
  const auto cpu = make_cpu_backend(2);
  Oracle oracle;
  for (const Case& c : cases()) {
    INFO(c.what);
    const Shape ys = conv2d_shape(c.x, c.w, c.spec);
    const Tensor x = random_tensor(c.x, 1, Layout::channels_last), w = random_tensor(c.w, 2);
    const Tensor bias = random_tensor({c.w[0]}, 3), dy = random_tensor(ys, 4, Layout::channels_last);
    const Tensor xd = oracle.upload(x), wd = oracle.upload(w), biasd = oracle.upload(bias), dyd = oracle.upload(dy);

    Tensor y = cpu->empty(ys, Layout::channels_last), expected = oracle.empty(ys, Layout::channels_last);
    cpu->conv2d(x, w, {}, c.spec, y);
    oracle.conv2d(xd, wd, {}, c.spec, expected);
    CHECK(relative_error(y, expected) < kTolerance);
    cpu->conv2d(x, w, {.bias = &bias}, c.spec, y);
    oracle.conv2d(xd, wd, {.bias = &biasd}, c.spec, expected);
    CHECK(relative_error(y, expected) < kTolerance);

    Tensor dx = cpu->empty_like(x), expected_dx = oracle.empty_like(xd);
    cpu->conv2d_dgrad(dy, w, c.spec, dx);
    oracle.conv2d_dgrad(dyd, wd, c.spec, expected_dx);
    CHECK(relative_error(dx, expected_dx) < kTolerance);

    Tensor dw = cpu->empty_like(w), expected_dw = oracle.empty_like(wd);
    cpu->conv2d_wgrad(x, dy, c.spec, dw);
    oracle.conv2d_wgrad(xd, dyd, c.spec, expected_dw);
    CHECK(relative_error(dw, expected_dw) < kTolerance);
  }
}

TEST_CASE("cpu: more convolutions than the cache holds", "[cpu][conv]") {
  const auto cpu = make_cpu_backend(1);
  Oracle oracle;
  for (int64_t width = 3; width < 303; ++width) {
    const Tensor x = random_tensor({1, 2, 1, width}, 5, Layout::channels_last), w = random_tensor({2, 2, 1, 3}, 6);
    Tensor y = cpu->empty({1, 2, 1, width - 2}, Layout::channels_last);
    Tensor expected = oracle.empty(y.shape(), Layout::channels_last);
    cpu->conv2d(x, w, {}, {}, y);
    oracle.conv2d(oracle.upload(x), oracle.upload(w), {}, {}, expected);
    REQUIRE(relative_error(y, expected) < kTolerance);
  }
}

TEST_CASE("cpu: an empty batch", "[cpu][conv]") {
  const auto cpu = make_cpu_backend(2);
  const Tensor x = Tensor::empty({0, 4, 5, 5}, DType::f32, Layout::channels_last), w = random_tensor({4, 4, 3, 3}, 7);
  Tensor y = cpu->empty({0, 4, 3, 3}, Layout::channels_last), dw = cpu->empty_like(w);
  cpu->conv2d(x, w, {}, {}, y);
  cpu->conv2d_wgrad(x, y, {}, dw);
  for (float value : dw.host<float>()) CHECK(value == 0);
}

TEST_CASE("cpu: products of matrices in every orientation", "[cpu][linalg]") {
  const auto cpu = make_cpu_backend(2);
  Oracle oracle;
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      const Tensor a = random_tensor(transpose_a ? Shape{3, 11, 17} : Shape{3, 17, 11}, 8);
      const Tensor b = random_tensor(transpose_b ? Shape{3, 29, 11} : Shape{3, 11, 29}, 9);
      Tensor y = cpu->empty({3, 17, 29}), expected = oracle.empty({3, 17, 29});
      cpu->matmul(a, transpose_a, b, transpose_b, y);
      oracle.matmul(oracle.upload(a), transpose_a, oracle.upload(b), transpose_b, expected);
      CHECK(relative_error(y, expected) < kTolerance);
    }
  }
}

TEST_CASE("cpu: the Gram norm and its gradient", "[cpu][linalg]") {
  const auto cpu = make_cpu_backend(2);
  Oracle oracle;
  for (const int64_t m : {1, 5, 16, 70, 130}) {
    CAPTURE(m);
    const int64_t groups = 3;
    const Tensor k = random_tensor({groups * m, m, 3, 3}, 10), ds = random_tensor({groups}, 11);
    Tensor s = cpu->empty({groups}), expected = oracle.empty({groups});
    GramSaved saved;
    cpu->gram_norm(k, groups, s, &saved);
    oracle.gram_norm(oracle.upload(k), groups, expected, nullptr);
    CHECK(relative_error(s, expected) < kTolerance);
    Tensor dk = cpu->empty_like(k), expected_dk = oracle.empty(k.shape());
    cpu->gram_norm_backward(k, s, saved, ds, dk);
    oracle.gram_norm_backward(oracle.upload(k), expected, {}, oracle.upload(ds), expected_dk);
    CHECK(relative_error(dk, expected_dk) < 40 * kTolerance);  // S^(1-p) multiplies the rounding of s
  }
}

TEST_CASE("cpu: the Gram norm of zeros is zero", "[cpu][linalg]") {
  const auto cpu = make_cpu_backend(1);
  Tensor k = cpu->empty({8, 4, 3, 3}), s = cpu->empty({2});
  cpu->fill(0, k);
  cpu->gram_norm(k, 2, s, nullptr);
  for (const float value : s.host<float>()) CHECK(value == 0);
}

}  // namespace gsnet
