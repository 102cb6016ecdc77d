// Bounds of pooling against singular values of the operator written out.
#include <catch2/catch.hpp>

#include "layers/graph.h"
#include "support/singular_values.h"

namespace gsnet {
namespace {

/// The mean over windows as a matrix, by running it on every unit picture of one channel.
Eigen::MatrixXd written_out(Graph& graph) {
  const int64_t inputs = graph.input().numel();
  Tensor x = Tensor::empty({inputs, 1, graph.input()[1], graph.input()[2]}, DType::f64, Layout::channels_last);
  for (int64_t i = 0; i < inputs * inputs; ++i) x.data<double>()[i] = i % (inputs + 1) == 0 ? 1 : 0;
  Tape tape(graph.backend(), {});
  const Tensor y = graph.backend().download(graph.forward(tape, tape.input(graph.backend().upload(x))).value);
  return Eigen::Map<const Eigen::MatrixXd>(y.data<double>(), y.numel() / inputs, inputs);
}

}  // namespace

TEST_CASE("bounds of average pools are never below the truth and close to it, borders or not", "[bounds][pool]") {
  const auto backend = make_backend({"reference", 1});
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Random random{RandomKey(seed)};
    const int64_t kernel = 1 + random.below(4);
    const Shape input = {1, kernel + random.below(6), kernel + random.below(6)};
    const Attributes settings = {{"kernel", kernel},
                                 {"stride", int64_t{1 + random.below(3)}},
                                 {"padding", int64_t{random.below(static_cast<uint32_t>(kernel))}},
                                 {"count_pad", random.below(2) == 0}};
    Graph graph({input, {{"pool", "pool", {}, settings}}}, *backend, RandomKey(1));
    const double truth = test::singular_values(written_out(graph)).maxCoeff();
    const LayerBound bound = graph.bounds().back().layer;
    INFO("seed " << seed << ": truth " << truth << ", bound " << bound.value.value() << " by " << bound.method);
    CHECK(bound.value.value() >= truth * (1 - 1e-12));
    CHECK(bound.value.value() <= 1.003 * truth);
  }
}

}  // namespace gsnet
