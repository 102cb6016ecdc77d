#include "backend/cuda/series_fused.h"

#include "backend/cuda/series_places.h"
#include "backend/cuda/series_planes.h"

namespace gsnet::cuda {
namespace {

template <class Number>
bool places_fit(const Runtime& runtime, const Shape& x, const Shape& k) {
  return PlaceMap(x, k).shared_floats<Number>() * 4 <= runtime.most_shared();
}

/// bf16 and tf32 where tensor cores can do the groups; else single precision.
Precision precision_for(const Shape& k, const SeriesSpec& spec) {
  return k[1] % PlaceMap::kSide == 0 ? precision_of(spec.products) : Precision::f32;
}

template <class Number, class Ends>
void run_on_tensor_cores(Runtime& runtime, const Shape& x, const Tensor& k, const Ends& ends) {
  if (k.shape()[1] % (2 * PlaceMap::kSide) == 0) {
    run_places<Number, 2>(runtime, together_map<Number>(runtime, x, k.shape(), 2), k, ends);
  } else {
    run_places<Number, 1>(runtime, together_map<Number>(runtime, x, k.shape(), 1), k, ends);
  }
}

template <class Ends>
void run(Runtime& runtime, const Shape& x, const Tensor& k, const SeriesSpec& spec, const Ends& ends) {
  switch (precision_for(k.shape(), spec)) {
    case Precision::bf16:
      return run_on_tensor_cores<Bf16>(runtime, x, k, ends);
    case Precision::tf32:
      return run_on_tensor_cores<float>(runtime, x, k, ends);
    case Precision::f32:
      break;
  }
  const PlaneMap map(x, k.shape());
  constexpr int64_t kEnough = 128;  // threads with work
  if (map.tiles<8, 8>() >= kEnough) return run_planes<8, 8>(runtime, map, k, ends);
  run_planes<4, 4>(runtime, map, k, ends);
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

bool fused_series_fits(const Runtime& runtime, const Shape& x, const Shape& k, const SeriesSpec& spec) {
  if (spec.degree() > kMostTerms) return false;
  switch (precision_for(k, spec)) {
    case Precision::bf16:
      return places_fit<Bf16>(runtime, x, k);
    case Precision::tf32:
      return places_fit<float>(runtime, x, k);
    case Precision::f32:
      break;
  }
  return PlaneMap(x, k).shared_floats() * 4 <= runtime.most_shared();
}

void fused_forward(Runtime& runtime, const Tensor& x, const Tensor& k, const SeriesSpec& spec, Tensor& y,
                   Tensor* kept) {
  const int degree = spec.degree();
  ForwardEnds ends{.x = x.data<float>(),
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
