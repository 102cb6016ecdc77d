// Every form of the CUDA machine's series, timed shape by shape: what the table of lib/backend/cuda/series_form.cpp is
// to say; and the share of the device's roofline that the fastest reaches. usage: gsnet_bench_series_forms [IMAGES]
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "apps/bench_series.h"
#include "backend/cuda/cuda_backend.h"
#include "core/error.h"

namespace gsnet {
namespace {

using cuda::SeriesForm;

constexpr std::array<SeriesForm, 3> kForms = {SeriesForm::fused, SeriesForm::dense, SeriesForm::terms};

std::vector<apps::SeriesCase> cases() {
  std::vector<apps::SeriesCase> made = apps::series_cases();
  for (const int64_t side : {1, 2, 3, 4}) {
    for (const int64_t channels : {16, 64, 256, 1024}) made.push_back({channels, side, channels < 64 ? 1 : 4});
  }
  return made;
}

/// Seconds of one of many calls.
double seconds_of(cuda::Runtime& device, const std::function<void()>& call) {
  constexpr int kWarm = 3, kCalls = 20;
  for (int i = 0; i < kWarm; ++i) call();
  device.synchronise();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kCalls; ++i) call();
  device.synchronise();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / kCalls;
}

/// What the device reaches: bytes that a copy reads and writes, multiply-adds of a large product, a second.
struct Roof {
  double bytes, f32, tf32;
  double macs(SeriesProducts products) const {
    if (products == SeriesProducts::bf16) return 2 * tf32;  // twice as many numbers at once
    return products == SeriesProducts::tf32 ? tf32 : f32;
  }
};

Roof measure_roof(cuda::Runtime& device) {
  constexpr int64_t kNumbers = int64_t{1} << 26, kSide = 8192;
  const auto numbers = [&] { return Tensor::empty({kNumbers}, DType::f32, Layout::row_major, device.memory()); };
  const Tensor a = numbers(), b = numbers(), c = numbers();
  device.clear(a.raw(), a.bytes());
  device.clear(b.raw(), b.bytes());
  const double copy = seconds_of(device, [&] { device.copy(c.raw(), a.raw(), a.bytes()); });
  const auto product = [&](Precision precision) {
    cuda::Product p = cuda::Product::dense(1, kSide, kSide, kSide);
    p.precision = precision;
    return seconds_of(device,
                      [&] { device.multiply(p, a.data<float>(), b.data<float>(), static_cast<float*>(c.raw())); });
  };
  constexpr double kMacs = static_cast<double>(kSide) * kSide * kSide;
  return {2 * static_cast<double>(a.bytes()) / copy, kMacs / product(Precision::f32), kMacs / product(Precision::tf32)};
}

/// Of the time that bytes or multiply-adds alone would take, the longer, in what it took. A forward pass reads x and
/// writes y and an iterate a term; a backward pass reads dy and the iterates, writes dx, and adjoints that it reads.
/// What is read or written again (x a term, dx) is not counted.
struct Share {
  double forward, backward;
  Share(const Roof& roof, const apps::SeriesTiming& t, const Shape& x, int degree, SeriesProducts products) {
    const double map = 4 * static_cast<double>(x.numel()), macs = roof.macs(products);
    forward = std::max(map * (2 + degree) / roof.bytes, t.forward_macs / macs) / t.forward_seconds;
    backward = std::max(map * (2 + 3 * degree) / roof.bytes, t.backward_macs / macs) / t.backward_seconds;
  }
};

void time_forms(const Roof& roof, int64_t images, SeriesProducts products, const char* name) {
  std::array<std::unique_ptr<Backend>, kForms.size()> machines;
  for (size_t i = 0; i < kForms.size(); ++i) {
    machines[i] = std::make_unique<cuda::CudaBackend>(cuda::make_cuda_runtime(), kForms[i]);
  }
  const auto chooser = cuda::make_cuda_runtime();
  apps::SeriesBenchSpec spec;
  spec.batch = images;
  spec.degree = 5;
  spec.seconds = 0.05;
  spec.products = products;
  for (const apps::SeriesCase& c : cases()) {
    const Shape x = {images, c.channels, c.side, c.side}, k = {c.channels, c.channels / c.groups, 3, 3};
    const SeriesSpec series{.coefficients = std::vector<double>(6, 1.0), .groups = c.groups, .products = products};
    fmt::print("| {} | {} | {} x {} | {} |", name, c.channels, c.side, c.side, c.groups);
    size_t best = kForms.size();
    apps::SeriesTiming fastest{};
    for (size_t i = 0; i < kForms.size(); ++i) {
      if (!cuda::can_series_form(*chooser, kForms[i], x, k, series)) {
        fmt::print(" - |");
        continue;
      }
      const apps::SeriesTiming t = apps::time_series(*machines[i], c, spec);
      fmt::print(" {:.3f} + {:.3f} |", 1e3 * t.forward_seconds, 1e3 * t.backward_seconds);
      if (best == kForms.size() ||
          t.forward_seconds + t.backward_seconds < fastest.forward_seconds + fastest.backward_seconds) {
        best = i;
        fastest = t;
      }
    }
    const Share share(roof, fastest, x, spec.degree, products);
    fmt::print(" {} | {} | {:.0f} % | {:.0f} % |\n", cuda::to_string(kForms[best]),
               cuda::to_string(cuda::choose_series_form(*chooser, x, k, series)), 100 * share.forward,
               100 * share.backward);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace gsnet

int main(int count, char** arguments) try {
  using gsnet::SeriesProducts;
  const int64_t images = count > 1 ? std::atoll(arguments[1]) : 256;
  if (count > 2 || images < 1) {
    fmt::print(stderr, "usage: gsnet_bench_series_forms [IMAGES]\n");
    return 2;
  }
  const auto device = gsnet::cuda::make_cuda_runtime();
  const gsnet::Roof roof = gsnet::measure_roof(*device);
  fmt::print("{}, {} images, 3x3 kernels, 5 terms; milliseconds forward + backward\n", device->description(), images);
  fmt::print(
      "a copy reads and writes {:.0f} GB/s, products make {:.1f} TFLOP/s in f32, {:.1f} in tf32, bf16: twice that\n\n",
      1e-9 * roof.bytes, 2e-12 * roof.f32, 2e-12 * roof.tf32);
  fmt::print(
      "| precision | channels | map | groups | fused | dense | terms | fastest | chosen | of the roofline, forward | "
      "backward |\n");
  fmt::print("|---|---|---|---|---|---|---|---|---|---|---|\n");
  gsnet::time_forms(roof, images, SeriesProducts::fast, "f32");
  gsnet::time_forms(roof, images, SeriesProducts::tf32, "tf32");
  gsnet::time_forms(roof, images, SeriesProducts::bf16, "bf16");
  return 0;
} catch (const gsnet::Error& error) {
  fmt::print(stderr, "gsnet_bench_series_forms: {}\n", error.what());
  return 1;
}
