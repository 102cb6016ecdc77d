#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "core/error.h"
#include "io/import_gs.h"
#include "io/model_file.h"
#include "tests/io/temporary_folder.h"
#include "tests/support/shared_folder.h"

namespace gsnet::io {
namespace {

using Catch::Matchers::Contains;

Tensor logits(const Model& model, const Tensor& x) {
  Backend& backend = model.graph->backend();
  Tape tape(backend, {});
  const Tensor map = backend.upload(with_layout(x, Layout::channels_last));
  return with_dtype(backend.download(model.graph->forward(tape, tape.input(map)).value), DType::f64);
}

/// Largest difference to the file's logits.
double difference(const Model& model, const TensorFile& file) {
  const Tensor z = logits(model, file.at("input")), wanted = with_dtype(file.at("logits"), DType::f64);
  REQUIRE(z.shape() == wanted.shape());
  double largest = 0;
  for (size_t i = 0; i < z.host<double>().size(); ++i) {
    largest = std::max(largest, std::abs(z.host<double>()[i] - wanted.host<double>()[i]));
  }
  return largest;
}

/// Null, with a warning, when the machine is not there.
std::unique_ptr<Backend> machine(const std::string& name) {
  try {
    return make_backend({name, 2});
  } catch (const Error& error) {
    WARN("skipped on " << name << ": " << error.what());
    return nullptr;
  }
}

void check_golden(const std::filesystem::path& path, const std::string& name) {
  const auto backend = machine(name);
  if (!backend) return;
  const TensorFile file = read_safetensors(path);
  const Model model = import_gs(file, {}, *backend);
  const double found = difference(model, file);
  INFO(path.filename() << " on " << name << ": " << found);
  CHECK(found < 1e-4);
  const test::TemporaryFolder folder;  // and as a model file of ours
  save_model(folder / "model", model);
  CHECK(difference(load_model(folder / "model", *backend), file) < 1e-4);
}

TEST_CASE("import: networks of the reference code give its logits", "[io][golden]") {
  GSNET_NEED_SHARED(shared);
  for (const char* name : {"reference", "cpu"}) {
    check_golden(shared / "golden/official_net_0.safetensors", name);
    check_golden(shared / "golden/official_net_1.safetensors", name);
  }
}

TEST_CASE("import: a state dict that does not fit is refused by name", "[io][golden]") {
  GSNET_NEED_SHARED(shared);
  const auto backend = machine("reference");
  if (!backend) return;
  const TensorFile whole = read_safetensors(shared / "golden/official_net_1.safetensors");
  const auto refusal = [&](const TensorFile& file, const GsImportOptions& options) -> std::string {
    try {
      import_gs(file, options, *backend);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK_THAT(refusal(whole, {.conv_layer = "standard"}), Contains("conv_layer"));
  CHECK_THAT(refusal(whole, {.conv_layer = "soc"}), Contains("layer1.0.conv.random_conv_filter"));
  CHECK_THAT(refusal(whole, {.groups = "(4, 2)"}), Contains("groups"));
  CHECK_THAT(refusal(whole, {.groups = "four"}), Contains("four"));
  CHECK_THAT(refusal(whole, {.activation = "relu"}), Contains("relu"));
  CHECK_THAT(refusal(whole, {.init_channels = 16}), Contains("init_channels") && Contains("8"));
  CHECK_THAT(refusal(whole, {.block_size = 3}), Contains("block_size"));
  CHECK_THAT(refusal(whole, {.num_classes = 10}), Contains("num_classes"));
  TensorFile file = whole;
  file.metadata.clear();
  CHECK_THAT(refusal(file, {}), Contains("conv_layer"));
  CHECK_THAT(refusal(file, {.conv_layer = "gs_soc_accelerated"}), Contains("activation"));
  const GsImportOptions unpaired = {.conv_layer = "gs_soc_accelerated", .activation = "minmax_permuted"};
  CHECK_THAT(refusal(file, unpaired), Contains("paired"));
  file = whole;
  std::erase_if(file.tensors, [](const auto& entry) { return entry.first == "layer3.0.conv.soc2.v4"; });
  CHECK_THAT(refusal(file, {}), Contains("layer3.0.conv.soc2.v4"));
  file = whole;
  file.tensors.emplace_back("layer6.0.conv.bias", Tensor::of<float>({1}, {0.0F}));
  CHECK_THAT(refusal(file, {}), Contains("layer6.0.conv.bias"));
  file = whole;
  for (auto& [name, tensor] : file.tensors) {
    if (name == "layer2.0.conv.soc1.u1") tensor = tensor.view({4, 1, 48, 1, 1});
    if (name == "layer1.0.conv.soc1.bias") tensor = Tensor::empty({20'000}, DType::f32);
  }
  CHECK_THAT(refusal(file, {}), Contains("width"));
}

/// The tensors of one exponential of the code, each filled with its own small number.
void add_exponential(TensorFile& file, const std::string& prefix, int64_t groups, int64_t m, int64_t k, int64_t out) {
  const std::pair<const char*, Shape> parts[] = {{"random_conv_filter", {groups, m, m, k, k}},
                                                 {"u1", {groups, 1, m, 1, k}},
                                                 {"v1", {groups, m, 1, k, 1}},
                                                 {"u2", {groups, 1, m, k, 1}},
                                                 {"v2", {groups, m, 1, 1, k}},
                                                 {"u3", {groups, 1, m, k, k}},
                                                 {"v3", {groups, m, 1, 1, 1}},
                                                 {"u4", {groups, m, 1, k, k}},
                                                 {"v4", {groups, 1, m, 1, 1}},
                                                 {"correction", {1}},
                                                 {"bias", {out}}};
  for (const auto& [name, shape] : parts) {
    const auto value = static_cast<float>(file.tensors.size()) / 1024;
    const std::vector<float> values(static_cast<size_t>(shape.numel()), value);
    file.tensors.emplace_back(prefix + name, Tensor::of<float>(shape, values));
  }
}

TEST_CASE("import: gs_soc with one number of groups has other groups in every layer", "[io]") {
  const auto backend = machine("reference");
  if (!backend) return;
  constexpr int64_t kGroups = 2, kWidth = 2;
  TensorFile file;
  int64_t channels = kWidth;
  for (const char* layer : {"layer1.0.conv.", "layer2.0.conv.", "layer3.0.conv.", "layer4.0.conv.", "layer5.0.conv."}) {
    const bool first = channels == kWidth;
    const int64_t inner = first ? 12 : 4 * channels, out = 2 * channels;
    add_exponential(file, layer + std::string("soc1."), kGroups, inner / kGroups, channels == 16 * kWidth ? 1 : 3, out);
    add_exponential(file, layer + std::string("soc2."), out / kGroups, kGroups, 1, out);
    channels = out;
  }
  add_exponential(file, "last_layer.", 1, channels, 1, 7);
  const GsImportOptions options = {.conv_layer = "gs_soc", .groups = "2", .activation = "minmax", .paired = false};
  const Model model = import_gs(file, options, *backend);
  for (const NodeDescription& node : model.info.description.nodes) {
    if (node.type != "group_shuffle_conv") continue;
    CHECK(node.attributes.integer("groups2") == node.attributes.integer("channels") / kGroups);
    CHECK_FALSE(node.attributes.flag("shuffle2"));
  }
  const auto value = [&](const std::string& name) {
    const auto state = state_of(*model.graph);
    const auto found = std::ranges::find(state, name, &NamedTensor::name);
    return found == state.end() ? -1.0 : found->tensor->host<double>()[0];
  };
  const auto index = [&](const std::string& name) {
    const auto found = std::ranges::find(file.tensors, name, &std::pair<std::string, Tensor>::first);
    return static_cast<double>(found - file.tensors.begin()) / 1024;
  };
  CHECK(value("level1.conv0.conv1.kernel") == index("layer1.0.conv.soc1.random_conv_filter"));
  CHECK(value("level3.conv0.conv2.kernel_v3") == index("layer3.0.conv.soc2.v3"));
  CHECK(value("level4.conv0.conv1.kernel_correction") == index("layer4.0.conv.soc1.correction"));
  CHECK(value("level5.conv0.conv2.bias") == index("layer5.0.conv.soc2.bias"));
  CHECK(value("head.kernel_u4") == index("last_layer.u4"));
}

TEST_CASE("import: options may say what the metadata does not", "[io][golden]") {
  GSNET_NEED_SHARED(shared);
  const auto backend = machine("reference");
  if (!backend) return;
  TensorFile file = read_safetensors(shared / "golden/official_net_1.safetensors");
  file.metadata.clear();
  const GsImportOptions options = {
      .conv_layer = "gs_soc_accelerated", .groups = "4 1", .activation = "minmax_permuted", .paired = true};
  const Model model = import_gs(file, options, *backend);
  CHECK(difference(model, file) < 1e-4);
  CHECK(model.info.mean.size() == 3);
  GsImportOptions other = options;
  other.paired = false;
  CHECK(difference(import_gs(file, other, *backend), file) > 1e-3);
  other = options;
  other.activation = "minmax";
  CHECK(difference(import_gs(file, other, *backend), file) > 1e-3);
}

}  // namespace
}  // namespace gsnet::io
