#include "faces/teacher.h"

#include <numeric>

#include "faces/rows.h"

namespace gsnet {
namespace {

constexpr double kSmallest = 1e-8;  // under the root: at its target a picture has no gradient

/// (N, 1) of rows (N, D).
Var squared_lengths(Tape& tape, const Var& rows) {
  const std::vector<double> ones(static_cast<size_t>(rows.shape()[1]), 1.0);
  return ops::linear(ops::unary(UnaryOp::square, rows),
                     tape.input(tape.backend().upload(Tensor::of<double>({1, rows.shape()[1]}, ones))));
}

}  // namespace

TeacherHead::TeacherHead(Backend& backend, const Tensor& targets, TeacherDistance distance) : distance_(distance) {
  check_directions(targets, "[teacher] target");
  targets_ = backend.upload(targets);
}

Objective::Value TeacherHead::evaluate(Tape& tape, const Var& output, const Labels& labels) {
  Backend& backend = tape.backend();
  const Var embeddings = ops::flatten(output);
  const int64_t samples = embeddings.shape()[0];
  check_labelled("[teacher]", embeddings.shape(), features(), labels.host, pictures());
  const Var targets = ops::normalise_rows(ops::gather_rows(tape.input(targets_), labels.machine));
  const Var units = ops::normalise_rows(embeddings);
  const Var squares = squared_lengths(tape, ops::binary(BinaryOp::subtract, units, targets));
  Tensor columns = Tensor::empty({samples}, DType::i32);
  const auto column = columns.host<int32_t>();
  std::iota(column.begin(), column.end(), 0);
  const auto loss = [&] {
    if (distance_ == TeacherDistance::cosine) return ops::scale(ops::mean(squares), 0.5);
    const Var smallest = tape.input(backend.upload(Tensor::of<double>({1}, {kSmallest})));
    return ops::mean(ops::unary(UnaryOp::sqrt, ops::add_bias(squares, smallest)));
  };
  return {loss(), ops::linear(tape.input(units.value), targets).value, columns};
}

}  // namespace gsnet
