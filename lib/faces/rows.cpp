#include "faces/rows.h"

#include <fmt/format.h>

#include <cmath>

#include "core/error.h"

namespace gsnet {

void check_directions(const Tensor& rows, const char* what) {
  GSNET_CHECK(rows.shape().rank() == 2 && rows.numel() > 0,
              fmt::format("{}s must be rows (R, D), got {}", what, to_string(rows.shape())));
  const Tensor numbers = with_dtype(rows, DType::f64);
  for (int64_t r = 0; r < rows.shape()[0]; ++r) {
    double square = 0;
    for (const double value : numbers.rows(r, 1).host<double>()) square += value * value;
    GSNET_CHECK(std::isfinite(square) && square > 0,
                fmt::format("{} {} has the length {}", what, r, std::sqrt(square)));
  }
}

void check_labelled(const char* op, const Shape& embeddings, int64_t features, const Tensor& labels, int64_t rows) {
  const int64_t samples = embeddings[0];
  GSNET_CHECK(embeddings[1] == features && labels.shape() == Shape{samples} && labels.dtype() == DType::i32,
              fmt::format("{} needs embeddings (N, {}) and labels (N) i32, got {} and {} {}", op, features,
                          to_string(embeddings), to_string(labels.shape()), to_string(labels.dtype())));
  for (const int32_t label : labels.host<int32_t>()) {
    GSNET_CHECK(label >= 0 && label < rows, fmt::format("{} label {} is outside [0, {})", op, label, rows));
  }
}

}  // namespace gsnet
