// Times every row of the table of op cases, forward and backward, on the machines named.
//
//   gsnet_bench_ops [--images N] [MACHINE …]        default: 64 cpu reference
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "support/op_cases.h"

namespace {

using namespace gsnet;

/// Median microseconds of a call, of at least five and a twentieth of a second.
template <class Call>
double microseconds(Call&& call) {
  using Clock = std::chrono::steady_clock;
  call();
  std::vector<double> times;
  const Clock::time_point begin = Clock::now();
  while (times.size() < 5 || Clock::now() - begin < std::chrono::milliseconds(50)) {
    const Clock::time_point one = Clock::now();
    call();
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - one).count());
  }
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

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
  // On a device several are under way before they are waited for.
  const int calls = backend.device().kind == DeviceKind::cuda ? 8 : 1;
  const auto timed = [&](bool backward) {
    return microseconds([&] {
             for (int i = 0; i < calls; ++i) run(backward);
             backend.synchronise();
           }) /
           calls;
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
