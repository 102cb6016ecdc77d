// One table of operations: each row is run as parity (a fast machine against the reference), as gradient check (in
// double on the reference), as adjoint test (linear ones), and as a timing.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "autograd/ops.h"

namespace gsnet::test {

struct OpInput {
  Shape shape;
  Layout layout = Layout::row_major;
  /// Made from N(0, 1) numbers by this, where an op asks for more than any numbers (a skew kernel, distinct values).
  std::function<void(Backend&, Tensor&)> prepare = nullptr;
  bool differentiable = true;
};

struct OpCase {
  std::string name;
  std::vector<OpInput> inputs;
  std::function<Var(Tape&, const std::vector<Var>&)> run;
  /// Index of the input in which the op is linear; -1: none.
  int linear_in = -1;
  /// Difference allowed between f32 and the reference, relative to the largest element of the output: sums of some
  /// thousand terms in another order.
  double tolerance = 1e-5;
};

const std::vector<OpCase>& op_cases();

/// The input with so many images where it is a map: for timings.
OpInput enlarged(const OpInput& input, int64_t images);

/// N(0, 1) numbers for an input, from a seed, on a machine, prepared.
Tensor make_input(Backend& backend, const OpInput& input, uint64_t seed);

/// Elements in memory order as doubles.
std::vector<double> numbers(Backend& backend, const Tensor& x);

}  // namespace gsnet::test
