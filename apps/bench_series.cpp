// gsnet bench --series: the central operator alone.
#include "apps/bench_series.h"

#include <fmt/format.h>

#include <algorithm>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/bench_timing.h"
#include "core/random.h"

namespace gsnet::apps {
namespace {

Tensor random_tensor(Backend& backend, const Shape& shape, Layout layout, double size) {
  Random random{RandomKey(3)};
  Tensor x = Tensor::empty(shape, DType::f32, layout);
  for (float& value : x.host<float>()) value = static_cast<float>(size * random.normal());
  return backend.upload(x);
}

/// Multiply-adds of one convolution that a picture needs: taps inside it.
double needed_macs(const SeriesCase& c, int64_t kernel) {
  const auto taps = [&](int64_t side) {
    int64_t count = 0;
    for (int64_t at = 0; at < side; ++at) {
      for (int64_t tap = 0; tap < kernel; ++tap) {
        const int64_t from = at + tap - kernel / 2;
        count += from >= 0 && from < side ? 1 : 0;
      }
    }
    return static_cast<double>(count);
  };
  return taps(c.side) * taps(c.side) * static_cast<double>(c.channels) * static_cast<double>(c.channels) /
         static_cast<double>(c.groups);
}

}  // namespace

std::vector<SeriesCase> series_cases() {
  std::vector<SeriesCase> cases;
  constexpr std::pair<int64_t, int64_t> kMaps[] = {{16, 64}, {32, 32}, {64, 32}, {64, 16}, {128, 16}, {128, 8},
                                                   {256, 8}, {256, 4}, {512, 4}, {512, 2}, {1024, 2}};
  for (const auto& [channels, side] : kMaps) {
    for (const int64_t groups : {1, 4, 16}) {
      if (channels / groups >= 8 && channels * channels / groups <= 512 * 512)
        cases.push_back({channels, side, groups});
    }
  }
  return cases;
}

std::vector<SeriesCase> every_series_case() {
  constexpr int64_t kMostNumbers = 1 << 26;
  std::vector<SeriesCase> cases;
  for (const int64_t channels : {16, 32, 64, 128, 256, 512}) {
    for (const int64_t side : {64, 32, 16, 8, 4, 2}) {
      for (const int64_t groups : {1, 2, 4, 8, 16}) {
        cases.push_back({channels, side, groups, kMostNumbers / (channels * side * side)});
      }
    }
  }
  return cases;
}

SeriesTiming time_series(Backend& backend, const SeriesCase& c, const SeriesBenchSpec& spec) {
  constexpr int64_t kKernel = 3;
  const int64_t batch = std::min(spec.batch, c.most_images);
  const Shape shape = {batch, c.channels, c.side, c.side};
  const int64_t sums = c.channels / c.groups * kKernel * kKernel;
  const double size = 0.5 / std::sqrt(static_cast<double>(sums));
  const Tensor x = random_tensor(backend, shape, Layout::channels_last, 1), dy = backend.empty_like(x);
  const Tensor w =
      random_tensor(backend, {c.channels, c.channels / c.groups, kKernel, kKernel}, Layout::row_major, size);
  Tensor k = backend.empty_like(w), y = backend.empty_like(x), dx = backend.empty_like(x), dk = backend.empty_like(w);
  backend.skew(w, c.groups, k);
  SeriesSpec series{.coefficients = {1}, .groups = c.groups, .save = spec.save, .products = spec.products};
  for (int m = 1; m <= spec.degree; ++m) series.coefficients.push_back(series.coefficients.back() / m);
  SeriesTiming timing = {.images = batch};
  const double macs = needed_macs(c, kKernel) * static_cast<double>(batch * spec.degree);
  timing.forward_macs = macs;
  timing.backward_macs = 2 * macs;
  const auto forward = [&](SeriesSaved& saved) {
    spec.composed ? composed_series(backend, x, k, series, y, &saved) : backend.conv_exp(x, k, series, y, &saved);
  };
  timing.forward_seconds = median_seconds_of_work(backend, spec.seconds, [&] {
    SeriesSaved saved;
    forward(saved);
  });
  SeriesSaved saved;
  forward(saved);
  timing.backward_seconds = median_seconds_of_work(backend, spec.seconds, [&] {
    spec.composed ? composed_series_backward(backend, x, k, series, saved, y, &dx, &dk)
                  : backend.conv_exp_backward(x, k, series, saved, y, &dx, &dk);
  });
  return timing;
}

int bench_series(Backend& backend, const SeriesBenchSpec& spec) {
  constexpr double kMatmulSeconds = 0.1;  // before every case
  const double matmul = matmul_rate(backend);
  const std::vector<SeriesCase> cases = spec.cases.empty() ? series_cases() : spec.cases;
  if (spec.json) {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const SeriesCase& c : cases) {
      const double beside = matmul_rate(backend, kMatmulSeconds);
      const SeriesTiming t = time_series(backend, c, spec);
      rows.push_back({{"channels", c.channels},
                      {"side", c.side},
                      {"groups", c.groups},
                      {"batch", t.images},
                      {"degree", spec.degree},
                      {"matmul_macs_per_second", beside},
                      {"forward_macs", t.forward_macs},
                      {"forward_seconds", t.forward_seconds},
                      {"backward_macs", t.backward_macs},
                      {"backward_seconds", t.backward_seconds}});
    }
    fmt::print("{}\n", nlohmann::ordered_json{{"matmul_macs_per_second", matmul}, {"cases", rows}}.dump());
    return 0;
  }
  fmt::print("{} ({}); matrix product 1024^3: {:.1f} GFLOP/s\n", backend.name(), backend.description(), 2e-9 * matmul);
  fmt::print("conv_exp 3x3, degree {}, {} products; GFLOP/s of the operations a direct sum needs\n", spec.degree,
             spec.composed                           ? "composed"
             : spec.products == SeriesProducts::bf16 ? "bf16"
             : spec.products == SeriesProducts::tf32 ? "tf32"
             : spec.products == SeriesProducts::fast ? "fast"
                                                     : "direct");
  fmt::print("{:>8} {:>7} {:>6} {:>6}  {:>9} {:>7}  {:>9} {:>7}\n", "channels", "map", "groups", "images", "forward",
             "share", "backward", "share");
  for (const SeriesCase& c : cases) {
    const double beside = matmul_rate(backend, kMatmulSeconds);
    const SeriesTiming t = time_series(backend, c, spec);
    const double forward = t.forward_macs / t.forward_seconds, backward = t.backward_macs / t.backward_seconds;
    fmt::print("{:8} {:>7} {:6} {:6}  {:9.1f} {:6.0f} %  {:9.1f} {:6.0f} %\n", c.channels,
               fmt::format("{0}x{0}", c.side), c.groups, t.images, 2e-9 * forward, 100 * forward / beside,
               2e-9 * backward, 100 * backward / beside);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace gsnet::apps
