// Every form of the CUDA machine's series, timed shape by shape: what the table of lib/backend/cuda/series_form.cpp is
// to say. usage: gsnet_bench_series_forms [IMAGES]
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <cstdlib>
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

void time_forms(int64_t images, SeriesProducts products, const char* name) {
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
    double least = 0;
    for (size_t i = 0; i < kForms.size(); ++i) {
      if (!cuda::can_series_form(*chooser, kForms[i], x, k, series)) {
        fmt::print(" - |");
        continue;
      }
      const apps::SeriesTiming t = apps::time_series(*machines[i], c, spec);
      const double total = t.forward_seconds + t.backward_seconds;
      fmt::print(" {:.3f} + {:.3f} |", 1e3 * t.forward_seconds, 1e3 * t.backward_seconds);
      if (best == kForms.size() || total < least) {
        best = i;
        least = total;
      }
    }
    fmt::print(" {} | {} |\n", cuda::to_string(kForms[best]),
               cuda::to_string(cuda::choose_series_form(*chooser, x, k, series)));
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
  fmt::print("{}, {} images, 3x3 kernels, 5 terms; milliseconds forward + backward\n\n",
             gsnet::cuda::make_cuda_runtime()->description(), images);
  fmt::print("| precision | channels | map | groups | fused | dense | terms | fastest | chosen |\n");
  fmt::print("|---|---|---|---|---|---|---|---|---|\n");
  gsnet::time_forms(images, SeriesProducts::fast, "f32");
  gsnet::time_forms(images, SeriesProducts::tf32, "tf32");
  gsnet::time_forms(images, SeriesProducts::bf16, "bf16");
  return 0;
} catch (const gsnet::Error& error) {
  fmt::print(stderr, "gsnet_bench_series_forms: {}\n", error.what());
  return 1;
}
