#include "faces/teacher.h"

#include <numeric>

#include "faces/rows.h"

namespace gsnet {

TeacherHead::TeacherHead(Backend& backend, const Tensor& targets) {
  check_directions(targets, "[teacher] target");
  targets_ = backend.upload(targets);
}

Objective::Value TeacherHead::evaluate(Tape& tape, const Var& output, const Tensor& labels) {
  Backend& backend = tape.backend();
  const Var embeddings = ops::flatten(output);
  const int64_t samples = embeddings.shape()[0];
  check_labelled("[teacher]", embeddings.shape(), features(), labels, pictures());
  const Var targets = ops::normalise_rows(ops::gather_rows(tape.input(targets_), backend.upload(labels)));
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
