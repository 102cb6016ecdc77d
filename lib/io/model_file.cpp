#include "io/model_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "core/error.h"
#include "io/json_text.h"
#include "io/safetensors_header.h"

namespace gsnet::io {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "1";
constexpr size_t kLongestName = 256;  // of layers whose sizes are checked against their tensors

bool is_integer(DType dtype) { return dtype == DType::i32 || dtype == DType::i64 || dtype == DType::u8; }

void check_normalisation(const ModelInfo& info) {
  const Shape& input = info.description.input;
  const size_t channels = input.rank() > 0 ? static_cast<size_t>(input[0]) : 0;
  GSNET_CHECK(info.mean.size() == channels && info.stddev.size() == channels,
              fmt::format("the input normalisation needs {} means and deviations, got {} and {}", channels,
                          info.mean.size(), info.stddev.size()));
  for (size_t i = 0; i < channels; ++i) {
    GSNET_CHECK(std::isfinite(info.mean[i]) && std::isfinite(info.stddev[i]) && info.stddev[i] > 0,
                fmt::format("the normalisation of channel {} must be a mean and a positive deviation, got {} and {}", i,
                            info.mean[i], info.stddev[i]));
  }
}

void check_order(const ModelInfo& info) {
  const Shape& input = info.description.input;
  GSNET_CHECK(info.order == ChannelOrder::rgb || (input.rank() == 3 && input[0] == 3),
              fmt::format("blue can come first in three channels only, the input is {}", to_string(input)));
}

const std::string& text_of(const std::map<std::string, std::string>& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  GSNET_CHECK(found != metadata.end(), fmt::format("the metadata has no '{}'", key));
  return found->second;
}

/// A JSON text of the metadata as a C++ value of the type asked for.
template <class T>
T value_of(const std::map<std::string, std::string>& metadata, const std::string& key, const char* kind) {
  const Json json = parse_json(text_of(metadata, key), fmt::format("'{}'", key));
  const auto fits = [](const Json& item) {
    return std::is_same_v<T, std::vector<double>> ? item.is_number() : item.is_string();
  };
  const bool container = std::is_same_v<T, std::map<std::string, std::string>> ? json.is_object() : json.is_array();
  GSNET_CHECK(container && std::ranges::all_of(json, fits), fmt::format("'{}' must be {}", key, kind));
  return json.get<T>();
}

void check_finite(const std::string& name, const Tensor& tensor) {
  const auto check = [&](const auto& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      GSNET_CHECK(std::isfinite(values[i]), fmt::format("tensor '{}' has {} at element {}", shown(name), values[i], i));
    }
  };
  if (tensor.dtype() == DType::f64) check(tensor.host<double>());
  if (tensor.dtype() == DType::f32) check(tensor.host<float>());
}

/// The tensor of a file as the graph wants it, where the graph keeps it.
Tensor placed(const std::string& name, const Tensor& from, const Tensor& wanted, Backend& backend) {
  GSNET_CHECK(from.shape() == wanted.shape(), fmt::format("tensor '{}' has shape {}, expected {}", shown(name),
                                                          to_string(from.shape()), to_string(wanted.shape())));
  const bool same_kind = is_integer(from.dtype()) || is_integer(wanted.dtype()) ? from.dtype() == wanted.dtype() : true;
  GSNET_CHECK(same_kind, fmt::format("tensor '{}' holds {}, expected {}", shown(name), to_string(from.dtype()),
                                     to_string(wanted.dtype())));
  Tensor host = with_dtype(from, wanted.dtype());
  check_finite(name, host);
  if (wanted.layout() == Layout::channels_last) host = with_layout(host, Layout::channels_last);
  const bool stays = wanted.device().kind == DeviceKind::host && backend.device().kind != DeviceKind::host;
  return stays ? host : backend.upload(host);
}

std::vector<Tensor> values_for(const std::vector<NamedTensor>& wanted, const TensorFile& file,
                               const std::string& prefix, Backend& backend) {
  std::unordered_map<std::string, const Tensor*> given;
  for (const auto& [name, tensor] : file.tensors) given.emplace(name, &tensor);
  std::vector<Tensor> values;
  for (const NamedTensor& one : wanted) {
    const auto found = given.find(prefix + one.name);
    GSNET_CHECK(found != given.end(), fmt::format("tensor '{}' is missing", shown(prefix + one.name)));
    values.push_back(placed(found->first, *found->second, *one.tensor, backend));
  }
  return values;
}

void assign(const std::vector<NamedTensor>& to, std::vector<Tensor> values) {
  for (size_t i = 0; i < to.size(); ++i) *to[i].tensor = std::move(values[i]);
}

Model load_checked(const TensorFile& file, Backend& backend) {
  Model model;
  model.info = model_info(file.metadata);
  check_sizes(model.info.description, file);
  model.graph = std::make_unique<Graph>(model.info.description, backend, RandomKey(0));
  const int64_t outputs = model.graph->output()[0];
  GSNET_CHECK(model.info.class_names.empty() || std::cmp_equal(model.info.class_names.size(), outputs),
              fmt::format("there are {} class names for {} outputs", model.info.class_names.size(), outputs));
  load_state(*model.graph, file);
  return model;
}

}  // namespace

ChannelOrder channel_order(const std::string& text) {
  GSNET_CHECK(text == "rgb" || text == "bgr",
              fmt::format("the order of channels is '{}', expected rgb or bgr", shown(text)));
  return text == "bgr" ? ChannelOrder::bgr : ChannelOrder::rgb;
}

std::map<std::string, std::string> model_metadata(const ModelInfo& info) {
  check_normalisation(info);
  check_order(info);
  std::map<std::string, std::string> metadata = {{"gsnet.format", kFormat},
                                                 {"gsnet.description", to_json(info.description)},
                                                 {"gsnet.mean", dump_json(info.mean, "the means")},
                                                 {"gsnet.stddev", dump_json(info.stddev, "the deviations")},
                                                 {"gsnet.classes", dump_json(info.class_names, "the class names")},
                                                 {"gsnet.provenance", dump_json(info.provenance, "the provenance")}};
  if (info.order == ChannelOrder::bgr) metadata["gsnet.order"] = "bgr";
  return metadata;
}

ModelInfo model_info(const std::map<std::string, std::string>& metadata) {
  GSNET_CHECK(metadata.contains("gsnet.format"), "it is no gsnet model: the metadata has no 'gsnet.format'");
  const std::string& format = metadata.at("gsnet.format");
  GSNET_CHECK(format == kFormat, fmt::format("it has model format '{}', expected '{}'", shown(format), kFormat));
  ModelInfo info;
  info.description = description_from_json(text_of(metadata, "gsnet.description"));
  info.mean = value_of<std::vector<double>>(metadata, "gsnet.mean", "a list of numbers");
  info.stddev = value_of<std::vector<double>>(metadata, "gsnet.stddev", "a list of numbers");
  info.class_names = value_of<std::vector<std::string>>(metadata, "gsnet.classes", "a list of texts");
  info.provenance = value_of<std::map<std::string, std::string>>(metadata, "gsnet.provenance", "an object of texts");
  check_normalisation(info);
  if (metadata.contains("gsnet.order")) info.order = channel_order(metadata.at("gsnet.order"));
  check_order(info);
  return info;
}

void save_model(const std::filesystem::path& path, const Model& model) {
  TensorFile file;
  try {
    GSNET_CHECK(model.graph != nullptr, "the model has no network");
    GSNET_CHECK(model.graph->description() == model.info.description, "the model's description is not its network's");
    file.metadata = model_metadata(model.info);
  } catch (const Error& error) {
    throw Error(fmt::format("cannot save '{}': {}", path.string(), error.what()));
  }
  store_state(*model.graph, file);
  write_safetensors(path, file);
}

Model load_model(const std::filesystem::path& path, Backend& backend) {
  const TensorFile file = read_safetensors(path);
  try {
    return load_checked(file, backend);
  } catch (const Error& error) {
    throw Error(fmt::format("'{}' cannot be loaded as a model: {}", path.string(), error.what()));
  }
}

void check_sizes(const Description& description, const TensorFile& file) {
  std::unordered_map<std::string, int64_t> widest;
  for (const auto& [name, tensor] : file.tensors) {
    int64_t largest = 0;
    for (int64_t extent : tensor.shape().extents()) largest = std::max(largest, extent);
    for (size_t dot = name.find('.'); dot < kLongestName; dot = name.find('.', dot + 1)) {
      int64_t& known = widest[name.substr(0, dot)];
      known = std::max(known, largest);
    }
  }
  for (const NodeDescription& node : description.nodes) {
    const auto found = widest.find(node.name);
    for (const char* key : {"channels", "features", "kernel", "stride"}) {
      const AttributeValue* value = node.attributes.find(key);
      const bool windowless = std::string_view(key) == "channels" || std::string_view(key) == "features";
      if (value == nullptr || !std::holds_alternative<int64_t>(*value)) continue;
      if (found == widest.end() && !windowless) continue;                        // pooling has no tensors
      if (node.type == "conv2d" && std::string_view(key) == "stride") continue;  // it makes maps smaller, nothing else
      const int64_t size = std::get<int64_t>(*value), known = found == widest.end() ? 0 : found->second;
      GSNET_CHECK(size <= known, fmt::format("layer '{}' has {} {}, but no tensor of its own is that large",
                                             shown(node.name), key, size));
    }
  }
}

void load_tensors(const std::vector<NamedTensor>& wanted, const TensorFile& file, const std::string& prefix,
                  Backend& backend) {
  assign(wanted, values_for(wanted, file, prefix, backend));
}

void refuse_others(const std::vector<NamedTensor>& wanted, const TensorFile& file, const std::string& prefix) {
  std::unordered_set<std::string> known;
  for (const NamedTensor& one : wanted) known.insert(prefix + one.name);
  for (const auto& [name, tensor] : file.tensors) {
    GSNET_CHECK(!name.starts_with(prefix) || known.contains(name),
                fmt::format("tensor '{}' belongs to no layer", shown(name)));
  }
}

void load_state(Graph& graph, const TensorFile& file, const std::string& prefix) {
  const std::vector<NamedTensor> state = state_of(graph);
  std::vector<Tensor> values = values_for(state, file, prefix, graph.backend());
  refuse_others(state, file, prefix);
  assign(state, std::move(values));
  state_changed(graph);
}

void store_tensors(const std::vector<NamedTensor>& tensors, TensorFile& file, const std::string& prefix, bool exact,
                   Backend& backend) {
  for (const NamedTensor& named : tensors) {
    const Tensor& kept = *named.tensor;
    Tensor host = kept.device().kind == DeviceKind::host ? with_layout(kept, kept.layout()) : backend.download(kept);
    if (!exact && !is_integer(host.dtype())) host = with_dtype(host, DType::f32);
    file.tensors.emplace_back(prefix + named.name, std::move(host));
  }
}

void store_state(Graph& graph, TensorFile& file, const std::string& prefix, bool exact) {
  store_tensors(state_of(graph), file, prefix, exact, graph.backend());
}

}  // namespace gsnet::io
