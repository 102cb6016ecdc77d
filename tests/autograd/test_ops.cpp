// The table of op cases, as gradient check, adjoint test and parity.
#include <catch2/catch.hpp>
#include <cmath>

#include "support/op_cases.h"

namespace gsnet {
namespace {

using test::OpCase;

std::vector<Tensor> inputs_of(Backend& backend, const OpCase& op) {
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < op.inputs.size(); ++i) inputs.push_back(test::make_input(backend, op.inputs[i], 100 + i));
  return inputs;
}

struct Pass {
  Tensor y;
  std::vector<Tensor> gradients;
};

/// Forward, then backward from dy = N(0, 1) numbers of a seed.
Pass run(Backend& backend, const OpCase& op, const std::vector<Tensor>& inputs, bool backward) {
  Tape tape(backend, {.record = backward});
  std::vector<Var> vars;
  for (const Tensor& input : inputs) vars.push_back(tape.input(input, backward));
  const Var y = op.run(tape, vars);
  Pass pass{y.value, {}};
  if (!backward) return pass;
  tape.backward(y, test::make_input(backend, {y.shape(), y.value.layout()}, 999));
  for (const Var& var : vars) pass.gradients.push_back(tape.grad(var));
  return pass;
}

double dot(Backend& backend, const Tensor& a, const Tensor& b) {
  const std::vector<double> p = test::numbers(backend, a), q = test::numbers(backend, b);
  REQUIRE(p.size() == q.size());
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += p[i] * q[i];
  return sum;
}

double norm(Backend& backend, const Tensor& x) { return std::sqrt(dot(backend, x, x)); }

}  // namespace

TEST_CASE("gradients agree with differences, in double", "[ops][gradient]") {
  const auto backend = make_backend({"reference", 2});
  for (const OpCase& op : test::op_cases()) {
    INFO(op.name);
    const std::vector<Tensor> inputs = inputs_of(*backend, op);
    const Pass pass = run(*backend, op, inputs, true);
    const Tensor dy = test::make_input(*backend, {pass.y.shape(), pass.y.layout()}, 999);
    for (size_t i = 0; i < inputs.size(); ++i) {
      REQUIRE(pass.gradients[i]);
      const Tensor direction = test::make_input(*backend, {inputs[i].shape(), inputs[i].layout()}, 500 + i);
      constexpr double kStep = 1e-5;
      double values[2];
      for (int side = 0; side < 2; ++side) {
        std::vector<Tensor> moved = inputs;
        moved[i] = backend->empty_like(inputs[i]);
        backend->axpby(1, inputs[i], side == 0 ? kStep : -kStep, direction, moved[i]);
        values[side] = dot(*backend, run(*backend, op, moved, false).y, dy);
      }
      const double expected = (values[0] - values[1]) / (2 * kStep);
      const double found = dot(*backend, pass.gradients[i], direction);
      const double scale = norm(*backend, pass.gradients[i]) * norm(*backend, direction);
      INFO("input " << i << ": difference quotient " << expected << ", gradient " << found);
      CHECK(std::fabs(found - expected) <= 1e-6 * std::max(scale, 1e-3));
    }
  }
}

TEST_CASE("a linear op and its vjp are adjoint", "[ops][adjoint]") {
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 2});
    const double tolerance = backend->dtype() == DType::f64 ? 1e-12 : 1e-5;
    for (const OpCase& op : test::op_cases()) {
      if (op.linear_in < 0) continue;
      INFO(machine << ": " << op.name);
      const auto at = static_cast<size_t>(op.linear_in);
      const std::vector<Tensor> inputs = inputs_of(*backend, op);
      const Pass pass = run(*backend, op, inputs, true);
      const Tensor dy = test::make_input(*backend, {pass.y.shape(), pass.y.layout()}, 999);
      const double forward = dot(*backend, pass.y, dy), backward = dot(*backend, inputs[at], pass.gradients[at]);
      CHECK(std::fabs(forward - backward) <= tolerance * norm(*backend, pass.y) * norm(*backend, dy));
    }
  }
}

TEST_CASE("cpu agrees with reference", "[ops][parity]") {
  const auto reference = make_backend({"reference", 2}), cpu = make_backend({"cpu", 2});
  for (const OpCase& op : test::op_cases()) {
    INFO(op.name);
    std::vector<Tensor> same;
    const std::vector<Tensor> inputs = inputs_of(*cpu, op);
    for (const Tensor& input : inputs) same.push_back(reference->upload(cpu->download(input)));
    const Pass fast = run(*cpu, op, inputs, true), slow = run(*reference, op, same, true);
    const auto agree = [&](const Tensor& a, const Tensor& b) {
      const std::vector<double> p = test::numbers(*cpu, a), q = test::numbers(*reference, b);
      REQUIRE(p.size() == q.size());
      double largest = 0, difference = 0;
      for (size_t i = 0; i < p.size(); ++i) {
        largest = std::max(largest, std::fabs(q[i]));
        difference = std::max(difference, std::fabs(p[i] - q[i]));
      }
      CHECK(difference <= op.tolerance * largest);
    };
    agree(fast.y, slow.y);
    for (size_t i = 0; i < inputs.size(); ++i) agree(fast.gradients[i], slow.gradients[i]);
  }
}

TEST_CASE("the checking machine passes where both agree", "[ops][check]") {
  const auto check = make_backend({"check:cpu,reference", 2});
  for (const OpCase& op : test::op_cases()) {
    INFO(op.name);
    CHECK_NOTHROW(run(*check, op, inputs_of(*check, op), true));
  }
}

TEST_CASE("a gradient of another shape is refused where it is made", "[tape]") {
  const auto backend = make_backend({"reference", 1});
  Tape tape(*backend, {.record = true});
  Tensor x = backend->empty({2, 3});
  backend->fill(1, x);
  const Var leaf = tape.input(x, true);
  const Var y = tape.record("careless", x, {&leaf}, [&](GradSink& sink, const Tensor&) {
    sink.give(0, backend->empty({3, 2}));
  });
  CHECK_THROWS_WITH(tape.backward(ops::sum(y)), Catch::Contains("careless"));
}

TEST_CASE("a leaf used twice gets the sum of both gradients", "[tape]") {
  const auto backend = make_backend({"reference", 1});
  Tape tape(*backend, {.record = true});
  const Var x = tape.input(backend->upload(Tensor::of<double>({1, 2}, {3, 4})), true);
  tape.backward(ops::sum(ops::add(ops::binary(BinaryOp::multiply, x, x), x)));
  CHECK(test::numbers(*backend, tape.grad(x)) == std::vector<double>{7, 9});
}

TEST_CASE("frozen parameters cost no backward", "[tape]") {
  const auto backend = make_backend({"reference", 1});
  Parameter frozen{.value = backend->upload(Tensor::of<double>({1, 2}, {3, 4})), .trainable = false};
  Tape tape(*backend, {.record = true});
  const Var y = ops::relu(tape.use(frozen));
  CHECK_FALSE(y.tracked());
}

}  // namespace gsnet
