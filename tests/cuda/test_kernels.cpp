// The CUDA machine's arithmetic against the reference machine: on a device, or its kernels run as host loops.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "cuda/machine.h"
#include "layers/architectures.h"
#include "layers/graph.h"
#include "support/op_cases.h"

namespace gsnet {
namespace {

using test::OpCase;

struct Pass {
  std::vector<double> y;
  std::vector<std::vector<double>> gradients;
};

/// Forward, then backward from dy = N(0, 1) numbers of a seed.
Pass run(Backend& backend, const OpCase& op, const std::vector<Tensor>& inputs) {
  Tape tape(backend, {.record = true});
  std::vector<Var> vars;
  for (const Tensor& input : inputs) vars.push_back(tape.input(input, true));
  const Var y = op.run(tape, vars);
  tape.backward(y, test::make_input(backend, {y.shape(), y.value.layout()}, 999));
  Pass pass{test::numbers(backend, y.value), {}};
  for (const Var& var : vars) pass.gradients.push_back(test::numbers(backend, tape.grad(var)));
  return pass;
}

void check_agree(const std::vector<double>& p, const std::vector<double>& q, double tolerance) {
  REQUIRE(p.size() == q.size());
  double largest = 0, difference = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    largest = std::max(largest, std::fabs(q[i]));
    difference = std::max(difference, std::fabs(p[i] - q[i]));
  }
  CHECK(difference <= tolerance * largest);
}

}  // namespace

TEST_CASE("cuda: kernels agree with reference", "[cuda][parity]") {
  const auto cuda = test::make_cuda(), reference = make_backend({"reference", 2});
  if (cuda == nullptr) return;
  for (const OpCase& op : test::op_cases()) {
    INFO(op.name);
    std::vector<Tensor> inputs, same;
    for (size_t i = 0; i < op.inputs.size(); ++i) {
      inputs.push_back(test::make_input(*cuda, op.inputs[i], 100 + i));
      same.push_back(reference->upload(cuda->download(inputs.back())));
    }
    const Pass fast = run(*cuda, op, inputs), slow = run(*reference, op, same);
    check_agree(fast.y, slow.y, op.tolerance);
    for (size_t i = 0; i < inputs.size(); ++i) check_agree(fast.gradients[i], slow.gradients[i], op.tolerance);
  }
}

TEST_CASE("cuda: a training step of whole networks", "[cuda]") {
  const auto cuda = test::make_cuda(), reference = make_backend({"reference", 2});
  if (cuda == nullptr) return;
  const std::vector<Description> nets = {
      make_architecture("lipconvnet", {{"width", int64_t{8}}}, {3, 32, 32}, 10),
      make_architecture("resnet20", {{"statistics", std::string("batch")}}, {3, 8, 8}, 10)};
  for (const Description& net : nets) {
    std::vector<std::vector<double>> gradients[2];
    for (int side = 0; side < 2; ++side) {
      Backend& backend = side == 0 ? *cuda : *reference;
      Graph graph(net, backend, RandomKey(2));
      const Tensor x = test::make_input(backend, {{2, 3, net.input[1], net.input[2]}, Layout::channels_last}, 3);
      Tape tape(backend, {.record = true, .training = true});
      const Var logits = graph.forward(tape, tape.input(x));
      const Tensor labels = backend.upload(Tensor::of<int32_t>({2}, {3, 7}));
      tape.backward(ops::mean(ops::cross_entropy(logits, labels, {})));
      for (const NamedParameter& named : parameters_of(graph)) {
        gradients[side].push_back(test::numbers(backend, named.parameter->grad));
      }
    }
    REQUIRE(gradients[0].size() == gradients[1].size());
    for (size_t i = 0; i < gradients[0].size(); ++i) check_agree(gradients[0][i], gradients[1][i], 2e-3);
  }
}

TEST_CASE("cuda: products of tf32 and bf16 are those of rounded factors", "[cuda][parity]") {
  const auto cuda = test::make_cuda(), reference = make_backend({"reference", 2});
  if (cuda == nullptr || !cuda->multiplies(Precision::bf16)) return;
  struct Case {
    int64_t images, channels, groups, height, width, taps;
    bool in_team = true;  ///< else by the library's convolutions, which a host has none of
  };
  const std::vector<Case> cases = {
      {5, 32, 2, 8, 8, 3},           // squares of 16 places over borders, several images a team
      {3, 64, 1, 5, 7, 3},           // as wide as a warp's squares go; a gradient by blocks of channels
      {4, 64, 2, 6, 5, 3},           // two squares a warp
      {2, 32, 2, 22, 22, 3},         // a gradient by bands of rows
      {1, 16, 1, 20, 3, 5},          // kernels of more taps
      {3, 32, 1, 4, 6, 1},           // and of one
      {9, 96, 2, 2, 2, 3},           // a last team with fewer images
      {1, 32, 1, 40, 40, 3, false},  // maps too large for a team
      {1, 48, 1, 24, 24, 3, false}, {3, 24, 1, 6, 6, 3},  // channels that are no multiple of 16 stay f32
  };
  for (const Case& c : cases) {
    CAPTURE(c.channels, c.groups, c.height, c.width, c.taps);
    const auto input = [&](const Shape& shape, Layout layout, uint64_t seed) {
      return test::make_input(*cuda, {shape, layout}, seed);
    };
    const Shape map = {c.images, c.channels, c.height, c.width};
    const Tensor x = input(map, Layout::channels_last, 1), dy = input(map, Layout::channels_last, 2);
    const Tensor w = input({c.channels, c.channels / c.groups, c.taps, c.taps}, Layout::row_major, 3);
    Tensor k = cuda->empty_like(w);
    cuda->skew(w, c.groups, k);
    cuda->scale(1 / std::sqrt(static_cast<double>(c.channels * c.taps * c.taps)), k, k);
    const auto pass = [&](Backend& on, SeriesProducts products) {
      const auto there = [&](const Tensor& tensor) { return on.upload(cuda->download(tensor)); };
      const SeriesSpec spec{.coefficients = {1, 1, 0.5, 1 / 6.0}, .groups = c.groups, .products = products};
      SeriesSaved saved;
      Tensor on_x = there(x), on_k = there(k), y = on.empty_like(on_x), dx = on.empty_like(on_x), dk;
      on.conv_exp(on_x, on_k, spec, y, &saved);
      on.conv_exp_backward(on_x, on_k, spec, saved, there(dy), &dx, &dk);
      return Pass{test::numbers(on, y), {test::numbers(on, dx), test::numbers(on, dk)}};
    };
    const Pass exact = pass(*reference, SeriesProducts::direct), single = pass(*cuda, SeriesProducts::fast);
    for (const auto& [products, tolerance] : {std::pair{SeriesProducts::tf32, 1e-3}, {SeriesProducts::bf16, 1e-2}}) {
      const Pass rounded = pass(*cuda, products);
      if (c.in_team) CHECK((rounded.y == single.y) == (c.channels / c.groups % 16 != 0));
      check_agree(rounded.y, exact.y, tolerance);
      for (size_t i = 0; i < exact.gradients.size(); ++i) {
        check_agree(rounded.gradients[i], exact.gradients[i], 2 * tolerance);
      }
    }
  }
}

TEST_CASE("cuda: uploads arrive in the order of the work around them", "[cuda]") {
  const auto cuda = test::make_cuda();
  if (cuda == nullptr) return;
  for (const int64_t size : {int64_t{5}, int64_t{100'000}}) {  // small ones and large ones go different ways
    Tensor sum = cuda->empty({size}), next = cuda->empty({size});
    cuda->fill(0, sum);
    double total = 0;
    for (int step = 1; step <= 20; ++step) {  // nobody waits in between
      Tensor host = Tensor::empty({size}, DType::f32);
      std::fill_n(host.data<float>(), size, static_cast<float>(step));
      cuda->assign(host, next);
      cuda->binary(BinaryOp::add, sum, next, sum);
      total += step;
    }
    const bool same = test::numbers(*cuda, sum) == std::vector<double>(static_cast<size_t>(size), total);
    CHECK(same);
  }
}

TEST_CASE("cuda: what only the device can see is an error at the next transfer", "[cuda]") {
  const auto cuda = test::make_cuda();
  if (cuda == nullptr) return;
  const Tensor z = test::make_input(*cuda, {{2, 3}}, 1), labels = cuda->upload(Tensor::of<int32_t>({2}, {1, 3}));
  Tensor loss = cuda->empty({2}), p = cuda->empty({2, 3}), q = cuda->empty({1, 2, 2});
  cuda->cross_entropy({}, z, labels, loss, p);
  CHECK_THROWS_WITH(cuda->download(loss), Catch::Contains("label"));
  CHECK_NOTHROW(cuda->download(loss));  // told once
  cuda->cayley(cuda->upload(Tensor::of<float>({1, 2, 2}, {1, 0, 0, 1})), q);
  CHECK_THROWS_WITH(cuda->synchronise(), Catch::Contains("singular"));
  Tensor rows = cuda->empty({1, 3});
  cuda->gather_rows(z, cuda->upload(Tensor::of<int32_t>({1}, {5})), rows);
  CHECK_THROWS_WITH(cuda->sum_of_squares(rows), Catch::Contains("row"));
}

}  // namespace gsnet
