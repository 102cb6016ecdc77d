// Plain networks from state dicts: by architecture and by description.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "core/error.h"
#include "io/import_state.h"
#include "io/model_file.h"
#include "io/torch_file.h"
#include "layers/architectures.h"
#include "tests/io/temporary_folder.h"
#include "tests/support/shared_folder.h"

namespace gsnet::io {
namespace {

using Catch::Matchers::Contains;

/// Logits of sin(0.37 i), i counting the picture's numbers.
std::vector<double> logits(const Model& model) {
  const Shape& picture = model.graph->input();
  Tensor x = Tensor::empty({1, picture[0], picture[1], picture[2]}, DType::f64);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<double>()[i] = std::sin(0.37 * static_cast<double>(i));
  Backend& backend = model.graph->backend();
  Tape tape(backend, {});
  const Var z = model.graph->forward(tape, tape.input(backend.upload(with_layout(x, Layout::channels_last))));
  const Tensor numbers = with_dtype(backend.download(z.value), DType::f64);
  return {numbers.host<double>().begin(), numbers.host<double>().end()};
}

StateImportOptions small_options() {
  StateImportOptions options;
  options.network =
      description_from_json(read_text(std::filesystem::path(GSNET_SOURCE_DIR) / "models/cifar_small.json"));
  options.mean = {0.485, 0.456, 0.406};
  options.stddev = {0.225};
  return options;
}

/// A state dict for models/cifar_small.json under a prefix.
TensorFile small_state(const std::string& prefix) {
  const auto backend = make_backend({"reference", 1});
  Graph graph(*small_options().network, *backend, RandomKey(3));
  TensorFile file;
  store_state(graph, file, prefix);
  return file;
}

}  // namespace

TEST_CASE("a described network takes its tensors from under a prefix", "[import_state]") {
  const auto backend = make_backend({"reference", 1});
  StateImportOptions options = small_options();
  const Model plain = import_state(small_state(""), options, *backend);
  CHECK(plain.info.stddev == std::vector<double>{0.225, 0.225, 0.225});
  CHECK(plain.info.class_names.size() == 10);
  for (const char* stored : {"state_dict.", "module.", "state_dict.module."}) {
    CHECK(logits(import_state(small_state(stored), options, *backend)) == logits(plain));
  }
  options.prefix = "0.";
  CHECK(logits(import_state(small_state("state_dict.0."), options, *backend)) == logits(plain));
  options.prefix = "net.";
  CHECK_THROWS_WITH(import_state(small_state("other."), options, *backend), Contains("'net.'") && Contains("'other.'"));
  const test::TemporaryFolder folder;
  save_model(folder / "m.safetensors", plain);
  CHECK(logits(load_model(folder / "m.safetensors", *backend)) == logits(plain));
}

TEST_CASE("missing and superfluous tensors are named together", "[import_state]") {
  const auto backend = make_backend({"reference", 1});
  TensorFile file = small_state("");
  file.tensors[1].first = "0.colour";  // 0.bias
  file.tensors.emplace_back("2.num_batches_tracked", Tensor::of<int64_t>({1}, {4}));
  CHECK_THROWS_WITH(import_state(file, small_options(), *backend),
                    Contains("missing '0.bias'") && Contains("not used '0.colour'") && !Contains("num_batches"));
  file = small_state("");
  file.tensors[0].first = "9.weight";
  file.tensors[1].first = "9.bias";
  CHECK_THROWS_WITH(import_state(file, small_options(), *backend),
                    Contains("missing '0.weight'") && Contains("not used '9.weight', '9.bias'"));
  file = small_state("");
  file.tensors[0].second = Tensor::empty({16, 3, 4, 5}, DType::f32);
  CHECK_THROWS_WITH(import_state(file, small_options(), *backend), Contains("(16, 3, 4, 5)"));
  StateImportOptions options = small_options();
  options.class_names = {"a", "b"};
  CHECK_THROWS_WITH(import_state(small_state(""), options, *backend), Contains("2 class names"));
  options = small_options();
  options.mean = {0.5, 0.5};
  CHECK_THROWS_WITH(import_state(small_state(""), options, *backend), Contains("3 means"));
  options.network.reset();
  CHECK_THROWS_WITH(import_state(small_state(""), options, *backend), Contains("either"));
}

TEST_CASE("a residual network from its own state, and a variance that cannot be", "[import_state]") {
  const auto backend = make_backend({"cpu", 1});
  Graph graph(make_architecture("resnet20", {}, {3, 32, 32}, 10), *backend, RandomKey(5));
  CHECK(graph.output() == Shape{10});
  TensorFile file;
  store_state(graph, file, "module.");
  StateImportOptions options;
  options.architecture = "resnet20";
  options.mean = options.stddev = {0.5};
  CHECK_NOTHROW(import_state(file, options, *backend));
  const auto variance =
      std::ranges::find(file.tensors, "module.bn1.running_var", &std::pair<std::string, Tensor>::first);
  variance->second.data<float>()[3] = -1e-3F;
  CHECK_THROWS_WITH(import_state(file, options, *backend), Contains("'bn1.running_var'") && Contains("variance"));
  options.architecture = "resnet21";
  CHECK_THROWS_WITH(import_state(file, options, *backend), Contains("resnet21") && Contains("resnet20"));
}

// Expected: PyTorch in double on the same files and input.
TEST_CASE("published networks compute what PyTorch computes", "[import_state]") {
  GSNET_NEED_SHARED(shared);
  const auto weights = shared / "data" / "weights";
  const auto close = [](const std::vector<double>& z, const std::vector<double>& expected, double tolerance) {
    REQUIRE(z.size() == expected.size());
    for (size_t i = 0; i < z.size(); ++i) CHECK(z[i] == Approx(expected[i]).margin(tolerance));
  };
  StateImportOptions options;
  options.architecture = "resnet20";
  options.mean = {0.485, 0.456, 0.406};
  options.stddev = {0.229, 0.224, 0.225};
  const std::vector<double> residual = {4.88491,   9.472464, -2.832983, -2.463212, -6.170665,
                                        -4.410159, 4.27322,  -9.299014, 0.126536,  6.422078};
  const TensorFile file = read_torch(weights / "resnet20-12fca82f.th");
  close(logits(import_state(file, options, *make_backend({"reference", 1}))), residual, 2e-6);
  close(logits(import_state(file, options, *make_backend({"cpu", 1}))), residual, 1e-4);  // f32, 21 layers
  StateImportOptions small = small_options();
  small.prefix = "0.";
  const std::vector<double> plain = {0.434259, -3.833373, 2.745686, 0.407509,  2.90156,
                                     0.426541, 2.355211,  -0.56826, -1.450728, -3.418287};
  const auto backend = make_backend({"reference", 1});
  const Model model = import_state(read_torch(weights / "cifar_small_36px.pth"), small, *backend);
  close(logits(model), plain, 2e-6);
}

// Expected: onnxruntime on the same network's MobileFaceNet.onnx, in f32.
TEST_CASE("a published face network computes what its ONNX file does, dead channels included", "[import_state]") {
  GSNET_NEED_SHARED(shared);
  const auto weights = shared / "data" / "weights";
  StateImportOptions options;
  options.architecture = "mobilefacenet";
  options.mean = {0.485, 0.456, 0.406};
  options.stddev = {0.229, 0.224, 0.225};
  const std::vector<double> expected = {-0.273865, -0.828658, 0.568387, -0.891082,
                                        0.351683,  1.256542,  0.197104, 1.31874};
  const double expected_squares = 91.891279;
  const TensorFile file = read_torch(weights / "mobilefacenet.pt");
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 2});
    const Model model = import_state(file, options, *backend);
    CHECK(model.info.class_names.empty());
    const std::vector<double> z = logits(model);
    REQUIRE(z.size() == 128);
    double squares = 0;
    for (const double value : z) squares += value * value;
    for (size_t i = 0; i < expected.size(); ++i) CHECK(z[i] == Approx(expected[i]).margin(1e-4));
    CHECK(squares == Approx(expected_squares).epsilon(1e-5));
    int64_t dead = 0;  // their variance is far below epsilon: what they give hangs on epsilon alone
    for (const NamedTensor& named : state_of(*model.graph)) {
      if (!named.name.ends_with("running_var")) continue;
      const Tensor numbers = with_dtype(backend->download(*named.tensor), DType::f64);
      dead += std::ranges::count_if(numbers.host<double>(), [](double v) { return v < 1e-10; });
    }
    CHECK(dead == 291);
  }
}

TEST_CASE("outputs are counted from the head, and pictures may have another size where the network allows it",
          "[import_state]") {
  const auto backend = make_backend({"cpu", 1});
  Graph graph(make_architecture("resnet18", {}, {3, 64, 48}, 5), *backend, RandomKey(5));
  TensorFile file;
  store_state(graph, file);
  StateImportOptions options;
  options.architecture = "resnet18";
  options.mean = options.stddev = {0.5};
  options.input = Shape{3, 64, 48};
  const Model model = import_state(file, options, *backend);
  CHECK(model.graph->output() == Shape{5});
  CHECK(model.graph->input() == Shape{3, 64, 48});
  CHECK(model.info.class_names.size() == 5);
  options.architecture = "mbf";
  CHECK_THROWS_WITH(import_state(file, options, *backend), Contains("features.layers.2.weight"));
  options.architecture = "lipconvnet";
  CHECK_THROWS_WITH(import_state(file, options, *backend), Contains("no public state dict"));
  options.architecture = "resnet34";  // more blocks than the file has
  CHECK_THROWS_WITH(import_state(file, options, *backend), Contains("missing") && Contains("layer1.2.conv1.weight"));
}

}  // namespace gsnet::io
