#include "backend/cuda/series_fused.h"

#include "backend/cuda/series_places.h"
#include "backend/cuda/series_planes.h"

namespace gsnet::cuda {
namespace {

template <class Number, int kColumns, class Ends>
void run_on_tensor_cores(Runtime& runtime, const Shape& x, const Tensor& k, const Ends& ends) {
  run_places(runtime, PlaceMap<Number, kColumns>(x, k.shape(), runtime.most_shared()), k, ends);
}

/// As many columns of squares a warp as there are.
template <class Number, class Ends>
void run_on_tensor_cores(Runtime& runtime, const Shape& x, const Tensor& k, const Ends& ends) {
  const int64_t m = k.shape()[1];
  if (m % 64 == 0) return run_on_tensor_cores<Number, 4>(runtime, x, k, ends);
  if (m % 32 == 0) return run_on_tensor_cores<Number, 2>(runtime, x, k, ends);
  run_on_tensor_cores<Number, 1>(runtime, x, k, ends);
}

template <class Ends>
void run(Runtime& runtime, const Shape& x, const Tensor& k, const SeriesSpec& spec, const Ends& ends) {
  switch (fused_precision(k.shape(), spec)) {
    case Precision::bf16:
      return run_on_tensor_cores<Bf16>(runtime, x, k, ends);
    case Precision::tf32:
      return run_on_tensor_cores<Tf32>(runtime, x, k, ends);
    case Precision::f32:
      break;
  }
  const PlaneMap map(x, k.shape(), runtime.most_shared());
  if (map.tile_channels == 8) return run_planes<8, 4>(runtime, map, k, ends);
  if (map.m % 4 == 0) return run_planes<4, 4>(runtime, map, k, ends);
  run_planes<4, 1>(runtime, map, k, ends);
}

double coefficient(const SeriesSpec& spec, int at) { return spec.coefficients[static_cast<size_t>(at)]; }

float* data_or_null(Tensor* tensor) { return tensor != nullptr ? tensor->data<float>() : nullptr; }

}  // namespace

Precision precision_of(SeriesProducts products) {
  switch (products) {
    case SeriesProducts::tf32:
      return Precision::tf32;
    case SeriesProducts::bf16:
      return Precision::bf16;
    case SeriesProducts::direct:
    case SeriesProducts::fast:
      break;
  }
  return Precision::f32;
}

Precision fused_precision(const Shape& k, const SeriesSpec& spec) {
  return k[1] % 16 == 0 ? precision_of(spec.products) : Precision::f32;
}

bool fused_series_fits(const Runtime& runtime, const Shape& x, const Shape& k, const SeriesSpec& spec) {
  if (spec.degree() > kMostTerms || !TeamShape::fits(x, k)) return false;
  const auto fits = [&](const auto& map) { return map.shared_floats() * 4 <= runtime.most_shared(); };
  switch (fused_precision(k, spec)) {
    case Precision::bf16:
      return fits(PlaceMap<Bf16, 1>(x, k, 0));
    case Precision::tf32:
      return fits(PlaceMap<Tf32, 1>(x, k, 0));
    case Precision::f32:
      break;
  }
  return fits(PlaneMap(x, k, 0));
}

void fused_forward(Runtime& runtime, const Tensor& x, const Tensor& k, const SeriesSpec& spec, const Tensor* bias,
                   Tensor& y, Tensor* kept) {
  const int degree = spec.degree();
  ForwardEnds ends{.x = x.data<float>(),
                   .bias = bias != nullptr ? bias->data<float>() : nullptr,
                   .y = y.data<float>(),
                   .kept = data_or_null(kept),
                   .last = static_cast<float>(coefficient(spec, 0)),
                   .factors = {},
                   .degree = degree,
                   .size = x.numel()};
  for (int step = 0; step < degree; ++step) {
    ends.factors.of[step] = static_cast<float>(coefficient(spec, degree - step) / coefficient(spec, degree - step - 1));
  }
  run(runtime, x.shape(), k, spec, ends);
}

void fused_backward(Runtime& runtime, const Tensor& dy, const Tensor& k, const SeriesSpec& spec, Tensor* dx,
                    Tensor* kept) {
  const int degree = spec.degree();
  BackwardEnds ends{.dy = dy.data<float>(),
                    .dx = data_or_null(dx),
                    .kept = data_or_null(kept),
                    .first = static_cast<float>(coefficient(spec, 0)),
                    .second = static_cast<float>(coefficient(spec, 1)),
                    .factors = {},
                    .degree = degree,
                    .size = dy.numel()};
  for (int step = 0; step + 1 < degree; ++step) {
    ends.factors.of[step] = static_cast<float>(-coefficient(spec, step + 2) / coefficient(spec, step + 1));
  }
  run(runtime, dy.shape(), k, spec, ends);
}

}  // namespace gsnet::cuda
