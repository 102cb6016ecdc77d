#include "io/peft.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "io/model_file.h"
#include "io/peft_config.h"
#include "io/safetensors_header.h"

namespace gsnet::io {
namespace {

constexpr std::string_view kPrefix = "base_model.model.";
constexpr size_t kMostConfigBytes = size_t{1} << 20U;

enum class Part : uint8_t { lora_a, lora_b, lora_bias, magnitude, oft, boft, boft_scale };

struct Ending {
  std::string_view text;
  Part part;
  PeftType type;
};

constexpr Ending kEndings[] = {{".lora_A.weight", Part::lora_a, PeftType::lora},
                               {".lora_B.weight", Part::lora_b, PeftType::lora},
                               {".lora_B.bias", Part::lora_bias, PeftType::lora},
                               {".lora_magnitude_vector", Part::magnitude, PeftType::lora},
                               {".lora_magnitude_vector.weight", Part::magnitude, PeftType::lora},
                               {".oft_R.weight", Part::oft, PeftType::oft},
                               {".boft_R", Part::boft, PeftType::boft},
                               {".boft_s", Part::boft_scale, PeftType::boft}};

/// A tensor of the file, in double, to be stored again as it came: in double or in single.
struct Numbers {
  std::string name;
  Tensor value;
  bool twice = false;

  const Shape& shape() const { return value.shape(); }
  Tensor stored(const Tensor& made) const { return with_dtype(made, twice ? DType::f64 : DType::f32); }
};

void expect(const Numbers& tensor, const Shape& shape, const std::string& why) {
  GSNET_CHECK(tensor.shape() == shape, fmt::format("tensor '{}' has shape {}, expected {}: {}", shown(tensor.name),
                                                   to_string(tensor.shape()), to_string(shape), why));
}

Numbers numbers_of(const std::string& name, const Tensor& tensor) {
  const bool real = tensor.dtype() != DType::i32 && tensor.dtype() != DType::i64 && tensor.dtype() != DType::u8;
  GSNET_CHECK(real, fmt::format("tensor '{}' holds {}, expected real numbers", shown(name), to_string(tensor.dtype())));
  Numbers numbers{name, with_dtype(tensor, DType::f64), tensor.dtype() == DType::f64};
  for (const double value : numbers.value.host<double>()) {
    GSNET_CHECK(std::isfinite(value), fmt::format("tensor '{}' has {} in it", shown(name), value));
  }
  return numbers;
}

/// b with b (b - 1) / 2 == count, or 0.
int64_t block_of_triangle(int64_t count) {
  const auto guess = static_cast<int64_t>((1 + std::sqrt(1 + 8 * static_cast<double>(count))) / 2);
  for (int64_t b = std::max<int64_t>(guess - 1, 1); b <= guess + 1; ++b) {
    if (b * (b - 1) / 2 == count) return b;
  }
  return 0;
}

class PeftReader {
 public:
  PeftReader(const PeftConfig& config, Graph& graph) : config_(config), graph_(graph) {
    for (const NamedTensor& one : state_of(graph)) state_.emplace(one.name, one.tensor);
  }

  AdapterFile read(const TensorFile& file) {
    for (const auto& [name, tensor] : file.tensors) sort_in(name, tensor);
    GSNET_CHECK(!layers_.empty() || !file_.saved.tensors.empty(), "there are no tensors");
    for (const Graph::Node& node : graph_.nodes()) {
      const auto found = layers_.find(node.description.name);
      if (found == layers_.end()) continue;
      const WeightSite site = *node.module->weight_site();
      read_layer({found->first, site.weight->stored.value.shape(), site.groups}, found->second);
    }
    file_.provenance["source"] = "PEFT";
    if (!config_.version.empty()) file_.provenance["peft_version"] = config_.version;
    if (!config_.base.empty()) file_.provenance["base_model_name_or_path"] = config_.base;
    return std::move(file_);
  }

 private:
  using Parts = std::map<Part, Numbers>;

  void sort_in(const std::string& full, const Tensor& tensor) {
    std::string name = full.starts_with(kPrefix) ? full.substr(kPrefix.size()) : full;
    for (const Ending& ending : kEndings) {
      if (!name.ends_with(ending.text)) continue;
      GSNET_CHECK(ending.type == config_.type,
                  fmt::format("tensor '{}' is of another method than the config's 'peft_type'", shown(full)));
      const std::string layer = name.substr(0, name.size() - ending.text.size());
      check_layer(layer, full);
      GSNET_CHECK(layers_[layer].emplace(ending.part, numbers_of(full, tensor)).second,
                  fmt::format("tensor '{}' comes twice", shown(full)));
      return;
    }
    GSNET_CHECK(!name.ends_with(".oft_r"),
                fmt::format("tensor '{}' was written before PEFT 0.14, whose OFT was another", shown(full)));
    if (name.ends_with(".num_batches_tracked")) return;
    const std::string_view inner = ".base_layer.";
    if (const size_t at = name.rfind(inner); at != std::string::npos) name.replace(at, inner.size(), ".");
    const auto found = state_.find(name);
    GSNET_CHECK(found != state_.end(), fmt::format("tensor '{}' is neither of the method nor the network's own, which "
                                                   "modules_to_save and trained biases would be",
                                                   shown(full)));
    expect(numbers_of(full, tensor), found->second->shape(), "the network's own");
    GSNET_CHECK(file_.saved.find(name) == nullptr, fmt::format("tensor '{}' comes twice", shown(full)));
    file_.saved.tensors.emplace_back(name, tensor);
  }

  void check_layer(const std::string& layer, const std::string& tensor) {
    const auto is_it = [&](const Graph::Node& node) { return node.description.name == layer; };
    const auto found = std::ranges::find_if(graph_.nodes(), is_it);
    GSNET_CHECK(found != graph_.nodes().end(),
                fmt::format("tensor '{}' is for a layer '{}', which the network has not", shown(tensor), shown(layer)));
    const auto site = found->module->weight_site();
    GSNET_CHECK(site.has_value(), fmt::format("tensor '{}' is for layer '{}' ({}), which cannot take an adapter",
                                              shown(tensor), layer, found->description.type));
    GSNET_CHECK(
        site->groups == 1,
        fmt::format("tensor '{}' is for layer '{}', a convolution in {} groups: PEFT's adapters of those are no "
                    "change of their weights",
                    shown(tensor), layer, site->groups));
  }

  static const Numbers& need(const Parts& parts, Part part, const AdapterSite& at, const char* name) {
    const auto found = parts.find(part);
    GSNET_CHECK(found != parts.end(), fmt::format("layer '{}' has no '{}'", at.layer, name));
    return found->second;
  }

  void read_layer(const AdapterSite& at, const Parts& parts) {
    spec_ = {};
    tensors_.clear();
    if (config_.type == PeftType::lora) read_lora(at, parts);
    if (config_.type == PeftType::oft) read_oft(at, need(parts, Part::oft, at, "oft_R.weight"));
    if (config_.type == PeftType::boft) {
      read_boft(at, need(parts, Part::boft, at, "boft_R"), need(parts, Part::boft_scale, at, "boft_s"));
    }
    for (auto& [name, tensor] : tensors_) file_.tensors.tensors.emplace_back(at.layer + "." + name, std::move(tensor));
    file_.layers.push_back({at.layer, spec_});
  }

  void read_lora(const AdapterSite& at, const Parts& parts) {
    const Numbers &a = need(parts, Part::lora_a, at, "lora_A.weight"),
                  &b = need(parts, Part::lora_b, at, "lora_B.weight");
    const bool conv = at.weight.rank() == 4;
    const int64_t r = config_.rank_of(at.layer);
    const std::string why = fmt::format("a rank of {} on a weight {}", r, to_string(at.weight));
    expect(a, conv ? Shape{r, at.inputs(), at.weight[2], at.weight[3]} : Shape{r, at.inputs()}, why);
    expect(b, conv ? Shape{at.outputs(), r, 1, 1} : Shape{at.outputs(), r}, why);
    spec_.kind = config_.dora ? AdapterKind::dora : AdapterKind::lora;
    spec_.rank = r;
    spec_.alpha = config_.alpha_of(at.layer);
    spec_.rank_stabilised = config_.rank_stabilised;
    GSNET_CHECK(r > 0 && spec_.alpha > 0, fmt::format("layer '{}': rank and lora_alpha must be positive, got {} and {}",
                                                      at.layer, r, spec_.alpha));
    if (const auto bias = parts.find(Part::lora_bias); bias != parts.end()) add_bias(at, bias->second);
    if (r > std::min(at.outputs(), at.inputs() * at.taps())) {
      shorten(at, a, b);
    } else {
      tensors_ = {{"lora_A", a.stored(a.value)}, {"lora_B", b.stored(b.value)}};
    }
    if (!config_.dora) return;
    const Numbers& length = need(parts, Part::magnitude, at, "lora_magnitude_vector");
    expect(length, conv ? Shape{1, at.outputs(), 1, 1} : Shape{at.outputs()}, why);
    tensors_.emplace_back("lora_magnitude_vector", length.stored(length.value.view({at.outputs()})));
  }

  /// B A with more rows than the matrix: the product, and an identity for the other factor.
  void shorten(const AdapterSite& at, const Numbers& a, const Numbers& b) {
    const int64_t rows = at.outputs(), columns = at.inputs() * at.taps(), r = a.shape()[0],
                  rank = std::min(rows, columns);
    const bool wide = rows <= columns;  // A gets the product
    Shape a_shape = a.shape().with(0, rank), b_shape = b.shape().with(1, rank);
    Tensor left = Tensor::empty(b_shape, DType::f64), right = Tensor::empty(a_shape, DType::f64);
    std::ranges::fill((wide ? left : right).host<double>(), 0.0);
    for (int64_t i = 0; i < rank; ++i) (wide ? left : right).data<double>()[i * rank + i] = 1;
    double* product = (wide ? right : left).data<double>();
    for (int64_t o = 0; o < rows; ++o) {
      for (int64_t c = 0; c < columns; ++c) {
        double sum = 0;
        for (int64_t i = 0; i < r; ++i)
          sum += b.value.data<double>()[o * r + i] * a.value.data<double>()[i * columns + c];
        product[o * columns + c] = sum;
      }
    }
    spec_.alpha = spec_.low_rank_scale() * static_cast<double>(rank);
    spec_.rank = rank;
    spec_.rank_stabilised = false;
    tensors_ = {{"lora_A", a.stored(right)}, {"lora_B", b.stored(left)}};
  }

  /// lora_B's bias is added to the layer's, scaled like the product.
  void add_bias(const AdapterSite& at, const Numbers& bias) {
    expect(bias, {at.outputs()}, "one number an output");
    const std::string name = at.layer + ".bias";
    const auto own = state_.find(name);
    GSNET_CHECK(own != state_.end(),
                fmt::format("tensor '{}' is added to a bias that layer '{}' has not", shown(bias.name), at.layer));
    const auto saved = std::ranges::find(file_.saved.tensors, name, &std::pair<std::string, Tensor>::first);
    const bool trained = saved != file_.saved.tensors.end();
    const Tensor from = trained ? saved->second : graph_.backend().download(*own->second);
    const Tensor sum = with_dtype(from, DType::f64);
    for (int64_t o = 0; o < at.outputs(); ++o) {
      sum.data<double>()[o] += spec_.low_rank_scale() * bias.value.data<double>()[o];
    }
    if (trained) {
      saved->second = bias.stored(sum);
    } else {
      file_.saved.tensors.emplace_back(name, bias.stored(sum));
    }
  }

  // PEFT's exact W Q' with Q = (I - K)(I + K)^-1 is W cayley(K); its polynomial is one of K, so W Q' is that of -K.
  void read_oft(const AdapterSite& at, const Numbers& r) {
    const int64_t n = at.inputs() * at.taps();
    const int64_t b = r.shape().rank() == 2 ? block_of_triangle(r.shape()[1]) : 0;
    GSNET_CHECK(b > 1 && r.shape()[0] > 0, fmt::format("tensor '{}' has shape {}, expected rows of b (b - 1) / 2 "
                                                       "numbers for blocks of b > 1",
                                                       shown(r.name), to_string(r.shape())));
    const int64_t rows = r.shape()[0];
    GSNET_CHECK(n % b == 0 && rows == (config_.share ? 1 : n / b),
                fmt::format("tensor '{}' has {} blocks of {}, which do not turn the {} places of a weight {}{}",
                            shown(r.name), rows, b, n, to_string(at.weight), config_.share ? " with block_share" : ""));
    spec_.kind = AdapterKind::oft;
    spec_.form = RotationForm::kernel;
    spec_.block = b;
    spec_.factors = 1;
    spec_.share = config_.share;
    spec_.constraint = config_.constrained ? config_.epsilon : 0;
    Tensor v = with_dtype(r.value, DType::f64);
    if (config_.neumann) {
      spec_.map = OrthogonalMap::neumann;
      spec_.terms = config_.terms == 3 ? 4 : config_.terms;  // PEFT's three terms are its four: K^3 comes in both
      for (double& value : v.host<double>()) value = -value;
    }
    tensors_ = {{"in.0", r.stored(v)}};
  }

  void read_boft(const AdapterSite& at, const Numbers& r, const Numbers& s) {
    const int64_t n = at.inputs() * at.taps();
    const bool ranks = r.shape().rank() == 4;
    const int64_t m = ranks ? r.shape()[0] : 0, blocks = ranks ? r.shape()[1] : 0, b = ranks ? r.shape()[2] : 0;
    GSNET_CHECK(m >= 1 && m <= 16 && b > 1 && r.shape()[3] == b && blocks == n / b && n % b == 0,
                fmt::format("tensor '{}' has shape {}, expected (factors, {} / b, b, b) for a weight {}", shown(r.name),
                            to_string(r.shape()), n, to_string(at.weight)));
    GSNET_CHECK(m == 1 || (b % 2 == 0 && n % (b << (m - 1)) == 0),
                fmt::format("tensor '{}': a butterfly of {} factors with blocks of {} does not turn {} places",
                            shown(r.name), m, b, n));
    expect(s, at.weight.rank() == 4 ? Shape{1, at.outputs()} : Shape{at.outputs(), 1}, "one scale an output");
    spec_.kind = AdapterKind::boft;
    spec_.form = RotationForm::kernel;
    spec_.block = b;
    spec_.factors = m;
    spec_.scale = true;
    const double* x = r.value.data<double>();
    for (int64_t factor = 0; factor < m; ++factor) {
      Tensor v = Tensor::empty({blocks, b * (b - 1) / 2}, DType::f64);
      double* to = v.data<double>();
      for (int64_t block = 0; block < blocks; ++block, x += b * b) {
        for (int64_t i = 0; i < b; ++i) {
          for (int64_t j = i + 1; j < b; ++j) *to++ = 0.5 * (x[i * b + j] - x[j * b + i]);
        }
      }
      tensors_.emplace_back(fmt::format("in.{}", factor), r.stored(v));
    }
    tensors_.emplace_back("scale", s.stored(s.value.view({at.outputs()})));
  }

  const PeftConfig& config_;
  Graph& graph_;
  std::map<std::string, const Tensor*> state_;
  std::map<std::string, Parts> layers_;
  AdapterFile file_;
  // Of the layer that is being read.
  AdapterSpec spec_;
  std::vector<std::pair<std::string, Tensor>> tensors_;
};

}  // namespace

bool is_peft_folder(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path / "adapter_config.json", ignored);
}

AdapterFile read_any_adapter(const std::filesystem::path& path, Graph& graph) {
  return is_peft_folder(path) ? read_peft(path, graph) : read_adapter(path);
}

AdapterFile read_peft(const std::filesystem::path& folder, Graph& graph) {
  const std::string text = read_text(folder / "adapter_config.json", kMostConfigBytes);
  PeftConfig config;
  try {
    config = parse_peft_config(text);
  } catch (const Error& error) {
    throw Error(fmt::format("'{}' cannot be read: {}", (folder / "adapter_config.json").string(), error.what()));
  }
  const auto tensors = folder / "adapter_model.safetensors";
  std::error_code ignored;
  GSNET_CHECK(
      std::filesystem::exists(tensors, ignored) || !std::filesystem::exists(folder / "adapter_model.bin", ignored),
      fmt::format("'{}' holds adapter_model.bin, a pickle: have PEFT save it as safetensors", folder.string()));
  const TensorFile file = read_safetensors(tensors);
  try {
    return PeftReader(config, graph).read(file);
  } catch (const Error& error) {
    throw Error(fmt::format("'{}' cannot be read as a PEFT adapter: {}", folder.string(), error.what()));
  }
}

}  // namespace gsnet::io
