#include "faces/teacher.h"

#include <numeric>

#include "faces/rows.h"

namespace gsnet {
namespace {

constexpr double kSmallest = 1e-8;  // under the root: at its target a picture has no gradient

}  // namespace

TeacherHead::TeacherHead(Backend& backend, const Tensor& targets, TeacherDistance distance) : distance_(distance) {
  check_directions(targets, "[teacher] target");
  targets_ = backend.upload(targets);
  ones_ = backend.empty({1, features()});
  backend.fill(1, ones_);
  smallest_ = backend.empty({1});
  backend.fill(kSmallest, smallest_);
}

Objective::Value TeacherHead::evaluate(Tape& tape, const Var& output, const Labels& labels) {
  const Var embeddings = ops::flatten(output);
  const int64_t samples = embeddings.shape()[0];
  check_labelled("[teacher]", embeddings.shape(), features(), labels.host, pictures());
  const Var targets = ops::normalise_rows(ops::gather_rows(tape.input(targets_), labels.machine));
  const Var units = ops::normalise_rows(embeddings);
  const Var apart = ops::unary(UnaryOp::square, ops::binary(BinaryOp::subtract, units, targets));
  const Var squares = ops::linear(apart, tape.input(ones_));
  Tensor columns = Tensor::empty({samples}, DType::i32);
  const auto column = columns.host<int32_t>();
  std::iota(column.begin(), column.end(), 0);
  const auto loss = [&] {
    if (distance_ == TeacherDistance::cosine) return ops::scale(ops::mean(squares), 0.5);
    return ops::mean(ops::unary(UnaryOp::sqrt, ops::add_bias(squares, tape.input(smallest_))));
  };
  return {loss(), ops::linear(tape.input(units.value), targets).value, columns};
}

}  // namespace gsnet
