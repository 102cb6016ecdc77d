// Times every row of the table of op cases, forward and backward, on the machines named.
//
//   gsnet_bench_ops [--images N] [MACHINE …]        default: 64 cpu reference
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "apps/bench_timing.h"
#include "support/op_cases.h"

namespace {

using namespace gsnet;

struct Timing {
  double forward, both;
};

Timing time_op(Backend& backend, const test::OpCase& op, int64_t images) {
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < op.inputs.size(); ++i) {
    inputs.push_back(test::make_input(backend, test::enlarged(op.inputs[i], images), 100 + i));
  }
  Tensor dy;
  const auto run = [&](bool backward) {
    Tape tape(backend, {.record = backward});
    std::vector<Var> vars;
    for (const Tensor& input : inputs) vars.push_back(tape.input(input, backward));
    const Var y = op.run(tape, vars);
    if (!dy) dy = test::make_input(backend, {y.shape(), y.value.layout()}, 999);
    if (backward) tape.backward(y, dy);
  };
  const auto timed = [&](bool backward) {
    constexpr double kSeconds = 0.05;
    return 1e6 * apps::median_seconds_of_work(backend, kSeconds, [&] { run(backward); });
  };
  const double forward = timed(false);
  return {forward, timed(true)};
}

int run(const std::vector<std::string>& arguments) {
  int64_t images = 64;
  std::vector<std::string> machines;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--images" && i + 1 < arguments.size()) {
      images = std::max<int64_t>(1, std::atoll(arguments[++i].c_str()));
    } else {
      machines.push_back(arguments[i]);
    }
  }
  if (machines.empty()) machines = {"cpu", "reference"};
  std::vector<std::unique_ptr<Backend>> backends;
  fmt::print("{:<34}", fmt::format("microseconds, {} images", images));
  for (const std::string& machine : machines) {
    backends.push_back(make_backend({machine, 0}));
    fmt::print("{:>14} {:>12}", machine, "+ backward");
  }
  fmt::print("\n");
  for (const test::OpCase& op : test::op_cases()) {
    fmt::print("{:<34}", op.name);
    for (const auto& backend : backends) {
      const Timing timing = time_op(*backend, op, images);
      fmt::print("{:14.1f} {:12.1f}", timing.forward, timing.both);
    }
    fmt::print("\n");
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "gsnet_bench_ops: {}\n", error.what());
    return 1;
  }
}
