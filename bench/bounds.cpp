// Bounds of random layers against the largest singular value of the operator written out.
//
//   gsnet_bench_bounds [LAYERS]        default: 300
//
// One row a kind of layer and method: how far the bound lies above the truth. Fails where one lies below.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <exception>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "layers/conv_bounds.h"
#include "layers/graph.h"
#include "support/singular_values.h"

namespace {

using namespace gsnet;

constexpr double kTruthError = 1e-12;  // relative, of the singular values

struct Ratios {
  std::vector<double> values;

  void print(const std::string& kind, const std::string& method) {
    std::ranges::sort(values);
    fmt::print("| {} | {} | {} | {:.6f} | {:.6f} | {:.6f} |\n", kind, method, values.size(), values.front(),
               values[values.size() / 2], values.back());
  }
};

/// (outputs, inputs): the network, which must be affine, at every unit vector and at 0.
Eigen::MatrixXd written_out(Graph& graph) {
  const Shape& in = graph.input();
  const int64_t inputs = in.numel(), channels = in[0], pixels = in[1] * in[2];
  Tensor x = Tensor::empty({inputs + 1, in[0], in[1], in[2]}, DType::f64, Layout::channels_last);
  std::ranges::fill(x.host<double>(), 0.0);
  for (int64_t i = 0; i < inputs; ++i) x.data<double>()[i * channels * pixels + i] = 1;
  Tape tape(graph.backend(), {});
  const Tensor y = graph.backend().download(graph.forward(tape, tape.input(graph.backend().upload(x))).value);
  const int64_t outputs = y.numel() / (inputs + 1);
  const Eigen::Map<const Eigen::MatrixXd> columns(y.data<double>(), outputs, inputs + 1);
  return columns.leftCols(inputs).colwise() - columns.col(inputs);
}

/// One random layer on a small map.
using Draw = std::function<NodeDescription(Random&, Shape& input)>;

NodeDescription convolution(Random& random, Shape& input) {
  const int64_t groups = 1 + random.below(3), kernel = 1 + random.below(4);
  input = {groups * (1 + random.below(4)), kernel + random.below(7), kernel + random.below(7)};
  return {"layer",
          "conv2d",
          {},
          {{"channels", int64_t{groups * (1 + random.below(5))}},
           {"kernel", kernel},
           {"stride", int64_t{1 + random.below(3)}},
           {"padding", int64_t{random.below(3)}},
           {"groups", groups}}};
}

NodeDescription depthwise(Random& random, Shape& input) {
  input = {4 + random.below(9), 5 + random.below(5), 5 + random.below(5)};
  return {"layer",
          "conv2d",
          {},
          {{"channels", input[0]},
           {"kernel", int64_t{3}},
           {"padding", int64_t{1}},
           {"stride", int64_t{1 + random.below(2)}},
           {"groups", input[0]}}};
}

NodeDescription dense_layer(Random& random, Shape& input) {
  input = {1 + random.below(200), 1, 1};
  return {"layer", "linear", {}, {{"features", int64_t{1 + random.below(200)}}}};
}

NodeDescription mean_pool(Random& random, Shape& input) {
  const int64_t kernel = 2 + random.below(3);
  input = {2, kernel + random.below(9), kernel + random.below(9)};
  return {"layer",
          "pool",
          {},
          {{"kernel", kernel},
           {"stride", int64_t{1 + random.below(3)}},
           {"padding", int64_t{random.below(static_cast<uint32_t>(kernel))}},
           {"count_pad", random.below(2) == 0}}};
}

NodeDescription exponential(Random& random, Shape& input) {
  const int64_t groups = 1 + random.below(2);
  input = {groups * 2 * (1 + random.below(4)), 4 + random.below(5), 4 + random.below(5)};
  return {"layer", "skew_conv", {}, {{"channels", input[0]}, {"kernel", int64_t{3}}, {"groups", groups}}};
}

NodeDescription group_shuffle(Random& random, Shape& input) {
  input = {8 * (1 + random.below(2)), 4 + random.below(4), 4 + random.below(4)};
  return {"layer",
          "group_shuffle_conv",
          {},
          {{"channels", input[0]}, {"kernel", int64_t{3}}, {"groups", int64_t{4}}, {"groups2", int64_t{4}}}};
}

const std::pair<const char*, Draw> kKinds[] = {
    {"convolution", convolution},
    {"depthwise convolution", depthwise},
    {"linear", dense_layer},
    {"average pool, padded or overlapping", mean_pool},
    {"exponential of a skew convolution", exponential},
    {"GS exponential", group_shuffle},
};

using Table = std::map<std::pair<size_t, std::string>, Ratios>;

/// The sharpest bound, and the norm of Gram iteration alone where the layer is a convolution.
void measure(size_t kind, uint64_t seed, Backend& backend, Table& table) {
  Random random{RandomKey(seed)};
  Shape input;
  const NodeDescription node = kKinds[kind].second(random, input);
  std::vector<NodeDescription> nodes;
  if (node.type == "linear") nodes.push_back({"flat", "flatten", {}, {}});
  nodes.push_back(node);
  Graph graph({input, nodes}, backend, RandomKey(seed).with(1));
  const double truth = test::singular_values(written_out(graph)).maxCoeff();
  const auto enter = [&](const std::string& method, double bound) {
    GSNET_CHECK(bound >= truth * (1 - kTruthError),
                fmt::format("layer {} ({}): the bound {:.17g} by {} is below the truth {:.17g}", seed,
                            kKinds[kind].first, bound, method, truth));
    table[{kind, method}].values.push_back(truth > 0 ? bound / truth : 1);
  };
  const LayerBound bound = graph.bounds().back().layer;
  enter(bound.method.substr(0, bound.method.find_first_of(",;")), bound.value.value());
  if (node.type != "conv2d") return;
  for (const NamedTensor& named : state_of(graph)) {
    if (!named.name.ends_with("weight")) continue;
    const LayerBound quick = conv_norm_bound(backend.download(*named.tensor), node.attributes.integer("groups", 1));
    enter("without the map (" + quick.method + ")", quick.value.value());
  }
}

int run(int64_t layers) {
  const auto backend = make_backend({"reference", 2});
  Table table;
  for (int64_t i = 0; i < layers; ++i) {
    measure(static_cast<size_t>(i) % std::size(kKinds), static_cast<uint64_t>(i), *backend, table);
  }
  fmt::print("{} random layers, bound / largest singular value\n\n", layers);
  fmt::print("| layer | method | layers | least | median | most |\n|---|---|---|---|---|---|\n");
  for (auto& [key, ratios] : table) ratios.print(kKinds[key.first].first, key.second);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    int64_t layers = 300;
    const std::string_view text = argc > 1 ? argv[1] : "300";
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), layers);
    if (argc > 2 || failure != std::errc() || end != text.data() + text.size() || layers < 1) {
      fmt::print(stderr, "usage: gsnet_bench_bounds [LAYERS]\n");
      return 2;
    }
    return run(layers);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
