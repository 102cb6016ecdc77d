#include "faces/teacher.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace gsnet {
namespace {

Tensor unit_rows(const Tensor& rows) {
  GSNET_CHECK(rows.shape().rank() == 2 && rows.numel() > 0,
              fmt::format("[teacher] needs targets (P, D), got {}", to_string(rows.shape())));
  const Tensor from = with_dtype(rows, DType::f64), units = Tensor::empty(rows.shape(), DType::f64);
  for (int64_t i = 0; i < rows.shape()[0]; ++i) {
    const auto row = from.rows(i, 1).host<double>();
    const double length = std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
    GSNET_CHECK(std::isfinite(length) && length > 0, fmt::format("[teacher] target {} has the length {}", i, length));
    std::ranges::transform(row, units.rows(i, 1).host<double>().begin(), [&](double x) { return x / length; });
  }
  return units;
}

}  // namespace

TeacherHead::TeacherHead(Backend& backend, const Tensor& targets) : targets_(backend.upload(unit_rows(targets))) {}

Objective::Value TeacherHead::evaluate(Tape& tape, const Var& output, const Tensor& labels) {
  Backend& backend = tape.backend();
  const Var embeddings = ops::flatten(output);
  const int64_t samples = embeddings.shape()[0];
  GSNET_CHECK(embeddings.shape()[1] == features() && labels.shape() == Shape{samples} && labels.dtype() == DType::i32,
              fmt::format("[teacher] needs embeddings (N, {}) and labels (N) i32, got {} and {} {}", features(),
                          to_string(embeddings.shape()), to_string(labels.shape()), to_string(labels.dtype())));
  for (const int32_t label : labels.host<int32_t>()) {
    GSNET_CHECK(label >= 0 && label < pictures(),
                fmt::format("[teacher] label {} is outside [0, {})", label, pictures()));
  }
  const Var targets = ops::gather_rows(tape.input(targets_), backend.upload(labels));
  const Var units = ops::normalise_rows(embeddings);
  const Var cosines = ops::sum(ops::binary(BinaryOp::multiply, units, targets));
  const Var one = tape.input(backend.upload(Tensor::of<double>({1}, {1})));
  Tensor columns = Tensor::empty({samples}, DType::i32);
  const auto column = columns.host<int32_t>();
  std::iota(column.begin(), column.end(), 0);
  return {ops::add(one, ops::scale(cosines, -1.0 / static_cast<double>(samples))),
          ops::linear(tape.input(units.value), targets).value, columns};
}

}  // namespace gsnet
