#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "core/error.h"
#include "io/json_text.h"
#include "io/model_file.h"
#include "io/onnx/fold.h"
#include "io/onnx/operators.h"
#include "io/onnx/reader.h"
#include "io/onnx_import.h"
#include "io/safetensors_header.h"

namespace gsnet::io {
namespace {

constexpr size_t kMostListed = 20;

/// What is known of the graph's input.
struct Input {
  std::string name;
  Shape sample;
  int64_t batch = 0;  ///< 0: free
};

class Importer {
 public:
  Importer(const onnx::ModelProto& model, const std::filesystem::path& folder, const OnnxImportOptions& options)
      : graph_(model.graph()), folder_(folder), opset_(opset_of(model)) {
    for (const auto& tensor : graph_.initializer()) initialisers_.emplace(tensor.name(), &tensor);
    for (const auto& info : graph_.input()) {
      if (!initialisers_.contains(info.name())) inputs_.push_back(&info);
    }
    input_ = described_input(options);
    output_ = chosen_output(options);
  }

  std::pair<Description, TensorFile> run() {
    const std::vector<int> order = needed_nodes();
    OnnxNetwork network(input_.sample, input_.batch);
    values_.emplace(input_.name, OnnxValue{{}, "input", input_.sample, uses_[input_.name]});
    for (const int i : order) take(network, graph_.node(i), static_cast<size_t>(i));
    refuse_if_any();
    const OnnxValue* output = find(output_);
    GSNET_CHECK(output != nullptr && !output->is_constant(),
                fmt::format("output '{}' is not computed from the input", shown(output_)));
    return network.finish(*output);
  }

 private:
  Input described_input(const OnnxImportOptions& options) const;
  std::string chosen_output(const OnnxImportOptions& options) const;
  std::vector<int> needed_nodes();
  const OnnxValue* find(const std::string& name);
  void take(OnnxNetwork& network, const onnx::NodeProto& proto, size_t index);
  void convert(OnnxNetwork& network, const OnnxNode& node, size_t index);
  void refuse_if_any() const;

  const onnx::GraphProto& graph_;
  std::filesystem::path folder_;
  int64_t opset_;
  std::unordered_map<std::string, const onnx::TensorProto*> initialisers_;
  std::vector<const onnx::ValueInfoProto*> inputs_;
  Input input_;
  std::string output_;
  std::unordered_map<std::string, int> uses_;
  std::map<std::string, OnnxValue> values_;  // whose addresses stay
  std::unordered_set<std::string> unknown_;  // made by nodes that were refused
  std::vector<std::string> refused_;
};

std::vector<std::string> names_of(const auto& infos) {
  std::vector<std::string> names;
  for (const auto& info : infos) names.push_back(fmt::format("'{}'", shown(info.name())));
  return names;
}

Input Importer::described_input(const OnnxImportOptions& options) const {
  std::vector<std::string> names;
  for (const auto* info : inputs_) names.push_back(fmt::format("'{}'", shown(info->name())));
  GSNET_CHECK(inputs_.size() == 1,
              fmt::format("it has {} inputs, expected one: {}", names.size(), fmt::join(names, ", ")));
  const onnx::ValueInfoProto& info = *inputs_[0];
  const auto& type = info.type().tensor_type();
  const int element = type.elem_type();
  GSNET_CHECK(element == onnx::TensorProto::FLOAT || element == onnx::TensorProto::FLOAT16 ||
                  element == onnx::TensorProto::DOUBLE,
              fmt::format("its input '{}' is no tensor of real numbers", shown(info.name())));
  std::vector<int64_t> extents;  // 0: open
  for (const auto& extent : type.shape().dim()) extents.push_back(extent.has_dim_value() ? extent.dim_value() : 0);
  const bool told = options.input.has_value();
  const bool plain = extents.size() == 2 || extents.size() == 4;
  GSNET_CHECK(
      plain || (told && extents.empty()),
      fmt::format("its input '{}' has {} axes, expected (N, C, H, W) or (N, C)", shown(info.name()), extents.size()));
  GSNET_CHECK(!told || extents.empty() || std::cmp_equal(options.input->rank() + 1, extents.size()),
              fmt::format("its input has {} axes, which a sample of {} does not give", extents.size(),
                          to_string(told ? *options.input : Shape())));
  if (told) return {info.name(), *options.input, extents.empty() ? 0 : extents[0]};
  for (size_t i = 1; i < extents.size(); ++i) {
    GSNET_CHECK(extents[i] >= 1, fmt::format("its input '{}' leaves an extent open ({}): say the input's shape",
                                             shown(info.name()), fmt::join(extents, ", ")));
  }
  return {info.name(), Shape(std::span<const int64_t>(extents).subspan(1)), std::max<int64_t>(extents[0], 0)};
}

std::string Importer::chosen_output(const OnnxImportOptions& options) const {
  const std::vector<std::string> names = names_of(graph_.output());
  GSNET_CHECK(!names.empty(), "it has no output");
  if (options.output.empty()) {
    GSNET_CHECK(names.size() == 1,
                fmt::format("it has {} outputs, choose one: {}", names.size(), fmt::join(names, ", ")));
    return graph_.output(0).name();
  }
  const auto found =
      std::ranges::find_if(graph_.output(), [&](const auto& info) { return info.name() == options.output; });
  GSNET_CHECK(found != graph_.output().end(),
              fmt::format("it has no output '{}', there are {}", shown(options.output), fmt::join(names, ", ")));
  return options.output;
}

/// Those that the output depends on, in the file's order. Counts who reads what.
std::vector<int> Importer::needed_nodes() {
  std::unordered_map<std::string, int> makers;
  for (int i = 0; i < graph_.node_size(); ++i) {
    for (const std::string& name : graph_.node(i).output()) {
      GSNET_CHECK(
          name.empty() || (makers.emplace(name, i).second && name != input_.name && !initialisers_.contains(name)),
          fmt::format("value '{}' is made twice", shown(name)));
    }
  }
  std::vector<bool> needed(static_cast<size_t>(graph_.node_size()));
  std::vector<std::string> open = {output_};
  ++uses_[output_];
  while (!open.empty()) {
    const auto maker = makers.find(open.back());
    open.pop_back();
    if (maker == makers.end() || needed[static_cast<size_t>(maker->second)]) continue;
    needed[static_cast<size_t>(maker->second)] = true;
    for (const std::string& input : graph_.node(maker->second).input()) {
      ++uses_[input];
      open.push_back(input);
    }
  }
  std::vector<int> order;
  for (int i = 0; i < graph_.node_size(); ++i) {
    if (needed[static_cast<size_t>(i)]) order.push_back(i);
  }
  return order;
}

const OnnxValue* Importer::find(const std::string& name) {
  if (const auto found = values_.find(name); found != values_.end()) return &found->second;
  const auto stored = initialisers_.find(name);
  if (stored == initialisers_.end()) return nullptr;
  return &values_.emplace(name, OnnxValue{tensor_of(*stored->second, folder_), {}, {}, uses_[name]}).first->second;
}

void Importer::take(OnnxNetwork& network, const onnx::NodeProto& proto, size_t index) {
  const bool standard = proto.domain().empty() || proto.domain() == "ai.onnx";
  const auto refuse = [&](const std::string& why) {
    refused_.push_back(fmt::format("'{}' ({}{}{}): {}",
                                   shown(proto.name().empty() ? fmt::format("node {}", index) : proto.name()),
                                   shown(proto.domain()), standard ? "" : ".", shown(proto.op_type()), why));
    for (const std::string& name : proto.output()) unknown_.insert(name);
  };
  try {
    bool blocked = false;
    std::vector<const OnnxValue*> inputs;
    for (const std::string& name : proto.input()) {
      inputs.push_back(name.empty() ? nullptr : find(name));
      blocked = blocked || unknown_.contains(name);
      GSNET_CHECK(name.empty() || inputs.back() != nullptr || unknown_.contains(name),
                  fmt::format("it reads '{}', which nothing before it makes", shown(name)));
    }
    const OnnxNode node(proto, opset_, std::move(inputs));
    GSNET_CHECK(proto.output_size() >= 1, "it has no output");
    if (!blocked && standard) return convert(network, node, index);
    if (!standard || find_operator(proto.op_type()) == nullptr) return refuse("the operator is not supported");
    for (const std::string& name : proto.output()) unknown_.insert(name);  // the reason is listed already
  } catch (const Error& error) {
    refuse(error.what());
  }
}

void Importer::convert(OnnxNetwork& network, const OnnxNode& node, size_t index) {
  const onnx::NodeProto& proto = node.proto();
  for (int i = 1; i < proto.output_size(); ++i) {
    GSNET_CHECK(!uses_.contains(proto.output(i)), fmt::format("its output {} is used", i));
  }
  OnnxValue made;
  if (std::optional<Tensor> constant = folded(node, folder_)) {
    made.constant = *std::move(constant);
  } else {
    const Operator* known = find_operator(node.op());
    GSNET_CHECK(known != nullptr, "the operator is not supported");
    for (const auto& attribute : proto.attribute()) {
      const bool expected =
          std::ranges::any_of(known->attributes, [&](const char* name) { return attribute.name() == name; });
      GSNET_CHECK(expected, fmt::format("attribute '{}' is not supported", shown(attribute.name())));
    }
    network.begin_node(node, index);
    made = known->convert(network, node);
  }
  made.uses = uses_[proto.output(0)];
  for (size_t i = 0; i < node.input_count(); ++i) {  // passed through: others may read the same layer by its older name
    const OnnxValue* from = node.input(i);
    if (from != nullptr && !from->layer.empty() && from->layer == made.layer)
      made.uses = std::max(made.uses, from->uses);
  }
  values_.emplace(proto.output(0), std::move(made));
}

void Importer::refuse_if_any() const {
  if (refused_.empty()) return;
  const std::vector<std::string> some(
      refused_.begin(), refused_.begin() + static_cast<std::ptrdiff_t>(std::min(refused_.size(), kMostListed)));
  const std::string more = refused_.size() > kMostListed ? fmt::format("\n  … ({} in all)", refused_.size()) : "";
  throw Error(fmt::format("{} of its nodes cannot be layers:\n  {}{}", refused_.size(), fmt::join(some, "\n  "), more));
}

std::optional<std::string> metadata_of(const onnx::ModelProto& model, const char* key) {
  for (const auto& entry : model.metadata_props()) {
    if (entry.key() == key) return entry.value();
  }
  return std::nullopt;
}

/// What was told, or what the file's metadata say, or `missing`; one number is spread over the channels.
std::vector<double> normalisation(const std::vector<double>& told, const onnx::ModelProto& model, const char* key,
                                  double missing, bool needed, int64_t channels) {
  std::vector<double> values = told;
  const std::optional<std::string> stored = metadata_of(model, key);
  if (told.empty() && stored) {
    const auto json = parse_json(*stored, fmt::format("'{}'", key));
    GSNET_CHECK(json.is_array() && std::ranges::all_of(json, [](const auto& item) { return item.is_number(); }),
                fmt::format("'{}' must be a list of numbers", key));
    values = json.get<std::vector<double>>();
  }
  GSNET_CHECK(!values.empty() || !needed,
              fmt::format("it does not say how pictures are normalised ('{}'): `gsnet import` it with --mean and "
                          "--stddev",
                          key));
  if (values.empty()) values = {missing};
  return values.size() == 1 ? std::vector<double>(static_cast<size_t>(channels), values[0]) : values;
}

std::vector<std::string> class_names(const std::vector<std::string>& told, const onnx::ModelProto& model,
                                     int64_t outputs) {
  std::vector<std::string> names = told;
  const std::optional<std::string> stored = metadata_of(model, "gsnet.classes");
  if (told.empty() && stored) {
    const auto json = parse_json(*stored, "'gsnet.classes'");
    GSNET_CHECK(json.is_array() && std::ranges::all_of(json, [](const auto& item) { return item.is_string(); }),
                "'gsnet.classes' must be a list of texts");
    names = json.get<std::vector<std::string>>();
  }
  GSNET_CHECK(names.empty() || std::cmp_equal(names.size(), outputs),
              fmt::format("there are {} class names for {} outputs", names.size(), outputs));
  return names;
}

Model imported(const std::filesystem::path& path, const OnnxImportOptions& options, Backend& backend) {
  const InputFile file(path);
  const onnx::ModelProto proto = parse_onnx(file);
  auto [description, tensors] = Importer(proto, path.parent_path(), options).run();
  Model model;
  model.info.description = std::move(description);
  const int64_t channels = model.info.description.input[0];
  model.info.mean = normalisation(options.mean, proto, "gsnet.mean", 0, options.need_normalisation, channels);
  model.info.stddev = normalisation(options.stddev, proto, "gsnet.stddev", 1, options.need_normalisation, channels);
  const std::optional<std::string> stored_order = metadata_of(proto, "gsnet.order");
  if (stored_order) model.info.order = channel_order(*stored_order);
  if (options.order) model.info.order = *options.order;
  model.info.provenance = {{"source", "ONNX file"},
                           {"producer", shown(fmt::format("{} {}", proto.producer_name(), proto.producer_version()))}};
  model_metadata(model.info);  // checks the normalisation
  check_sizes(model.info.description, tensors);
  model.graph = std::make_unique<Graph>(model.info.description, backend, RandomKey(0));
  model.info.class_names = class_names(options.class_names, proto, model.graph->output()[0]);
  load_state(*model.graph, tensors);
  return model;
}

}  // namespace

Model import_onnx(const std::filesystem::path& path, const OnnxImportOptions& options, Backend& backend) {
  try {
    return imported(path, options, backend);
  } catch (const Error& error) {
    throw Error(fmt::format("cannot import '{}': {}", path.string(), error.what()));
  }
}

}  // namespace gsnet::io
