// What layers say in plain operators, run by the ops, is what they compute.
#include <catch2/catch.hpp>
#include <cmath>

#include "layers/graph.h"
#include "layers/lipconvnet.h"
#include "tests/support/ops_emitter.h"

namespace gsnet {
namespace {

Tensor picture(const Shape& input) {
  Tensor x = Tensor::empty({2, input[0], input[1], input[2]}, DType::f64, Layout::channels_last);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<double>()[i] = std::sin(0.61 * static_cast<double>(i));
  return x;
}

std::vector<double> numbers(Backend& backend, const Tensor& x) {
  const Tensor rows = with_layout(with_dtype(backend.download(x), DType::f64), Layout::row_major);
  return {rows.host<double>().begin(), rows.host<double>().end()};
}

/// Weights are handed over in f32, relative 1e-7 each; `cpu` computes in f32 too.
void check_emitted(const Description& net, const char* machine) {
  const auto backend = make_backend({machine, 1});
  Graph graph(net, *backend, RandomKey(11));
  const Tensor x = backend->upload(picture(net.input));
  Tape tape(*backend, {});
  const std::vector<double> wanted = numbers(*backend, graph.forward(tape, tape.input(x)).value);
  test::OpsEmitter emitter(*backend);
  const std::vector<double> found = numbers(*backend, emitter.value(graph.emit(emitter, emitter.start(x))));
  REQUIRE(found.size() == wanted.size());
  for (size_t i = 0; i < found.size(); ++i) CHECK(found[i] == Approx(wanted[i]).margin(2e-5));
}

}  // namespace

TEST_CASE("emit: Group-and-Shuffle networks and their relatives", "[emit]") {
  const Attributes small = {{"width", int64_t{4}}};
  const auto with = [&](std::initializer_list<std::pair<std::string, AttributeValue>> more) {
    Attributes settings = small;
    for (const auto& [key, value] : more) settings.set(key, value);
    check_emitted(lipconvnet(settings, {3, 32, 32}, 5), "cpu");
  };
  with({{"groups", int64_t{4}}});
  with({{"groups", int64_t{4}}, {"groups2", int64_t{1}}});
  with({{"groups", int64_t{2}}, {"groups2", int64_t{4}}, {"activation", std::string("householder")}});
  with({{"variant", std::string("soc")}, {"activation", std::string("maxmin_halves")}, {"fit", std::string("head")}});
  with({{"variant", std::string("lpr")}, {"groups", int64_t{2}}, {"scale", std::string("four_forms")}});
  with({{"depth", int64_t{10}},
        {"eval_series", std::string("taylor")},
        {"eval_degree", int64_t{12}},
        {"head", std::string("orthogonal")}});
}

TEST_CASE("emit: plain layers", "[emit]") {
  Description net;
  net.input = {3, 8, 8};
  net.nodes = {
      {"pad", "pad_channels", {}, {{"before", int64_t{2}}, {"after", int64_t{1}}}},
      {"conv", "conv2d", {}, {{"channels", int64_t{12}}, {"padding", int64_t{1}}, {"groups", int64_t{2}}}},
      {"norm", "batch_norm", {}, {{"epsilon", 0.5}}},
      {"relu", "relu", {}, {}},
      {"sort", "group_sort", {"norm"}, {{"size", int64_t{3}}}},
      {"maxmin", "maxmin", {"norm"}, {{"pairing", std::string("halves")}, {"order", std::string("min_first")}}},
      {"fold", "householder", {"relu"}, {{"pairing", std::string("halves")}}},
      {"sum", "add", {"fold", "sort", "maxmin", "relu"}, {}},
      {"deep", "space_to_depth", {}, {}},
      {"l2", "pool", {}, {{"kind", std::string("l2")}}},
      {"max",
       "pool",
       {},
       {{"kind", std::string("max")}, {"kernel", int64_t{3}}, {"stride", int64_t{2}}, {"padding", int64_t{1}}}},
      {"mean", "pool", {}, {{"global", true}}},
      {"flat", "flatten", {}, {}},
      {"fold2", "householder", {}, {}},
      {"rotate", "orthogonal_linear", {}, {{"features", int64_t{20}}}},
      {"head", "linear", {}, {{"features", int64_t{4}}, {"unit_rows", true}}}};
  check_emitted(net, "reference");
}

}  // namespace gsnet
