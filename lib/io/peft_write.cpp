// What PEFT reads: the other way of peft.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "adapters/convert.h"
#include "core/error.h"
#include "io/peft.h"
#include "io/peft_config.h"
#include "io/safetensors_header.h"

namespace gsnet::io {
namespace {

constexpr const char* kPrefix = "base_model.model.";
constexpr const char* kVersion = "0.21.2";  // of the PEFT whose files these are
constexpr int64_t kLargestBlock = 4096;

/// One adapted layer with its tensors in double.
struct Source {
  AdapterSpec spec;
  AdapterSite site;
  std::vector<std::pair<std::string, Tensor>> tensors;

  const Tensor& at(const std::string& name) const {
    return std::ranges::find(tensors, name, &std::pair<std::string, Tensor>::first)->second;
  }
  int64_t places() const { return site.inputs() * site.taps(); }
};

/// A rotation as PEFT has it: generators of every factor, of all places of a filter.
struct Turning {
  int64_t block = 0;
  std::vector<Tensor> factors;  // (blocks, b (b - 1) / 2), blocks 1 where they are shared
  bool reshaped = false;        // the generators are others than the adapter's
};

int64_t block_of(const Tensor& triangles) {
  const auto count = static_cast<double>(triangles.shape()[1]);
  return static_cast<int64_t>(std::llround((1 + std::sqrt(1 + 8 * count)) / 2));
}

/// As the adapter itself does when it is used.
void hold_back(Tensor& triangles, double constraint) {
  const int64_t rows = triangles.shape()[0], columns = triangles.shape()[1];
  const double largest = constraint / std::sqrt(2.0 * static_cast<double>(rows));
  for (int64_t r = 0; r < rows; ++r) {
    double* v = triangles.data<double>() + r * columns;
    double sum = 0;
    for (int64_t i = 0; i < columns; ++i) sum += v[i] * v[i];
    const double factor = std::sqrt(sum) > largest ? largest / std::sqrt(sum) : 1;
    for (int64_t i = 0; i < columns; ++i) v[i] *= factor;
  }
}

/// Generators of K (x) I, I of `taps` rows.
Tensor spread(const Tensor& triangles, int64_t taps) {
  const int64_t rows = triangles.shape()[0], b = block_of(triangles), wide = b * taps;
  Tensor made = Tensor::empty({rows, wide * (wide - 1) / 2}, DType::f64);
  std::ranges::fill(made.host<double>(), 0.0);
  const double* from = triangles.data<double>();
  for (int64_t r = 0; r < rows; ++r) {
    double* v = made.data<double>() + r * made.shape()[1];
    for (int64_t i = 0; i < b; ++i) {
      for (int64_t j = i + 1; j < b; ++j, ++from) {
        for (int64_t t = 0; t < taps; ++t) {
          const int64_t row = i * taps + t, column = j * taps + t;
          v[row * wide - row * (row + 1) / 2 + column - row - 1] = *from;
        }
      }
    }
  }
  return made;
}

Turning turning_of(const Source& source) {
  const AdapterSpec& spec = source.spec;
  const AdapterSite& at = source.site;
  Turning turning;
  const bool spreads = spec.form == RotationForm::channel && at.taps() > 1;
  turning.reshaped = spreads || spec.map == OrthogonalMap::exp;
  for (int64_t i = 0; i < (spec.kind == AdapterKind::oft ? 1 : spec.factors); ++i) {
    Tensor v = with_dtype(source.at(fmt::format("in.{}", i)), DType::f64);
    if (spec.constraint > 0) hold_back(v, spec.constraint);
    if (spec.map == OrthogonalMap::exp) v = cayley_generators(orthogonal_blocks(v, block_of(v), spec));
    turning.block = block_of(v) * (spreads ? at.taps() : 1);
    GSNET_CHECK(
        turning.block <= kLargestBlock,
        fmt::format("layer '{}': PEFT turns all {} places of a filter, in blocks of {} here, {} at most; export "
                    "it as a LoRA",
                    at.layer, source.places(), turning.block, kLargestBlock));
    turning.factors.push_back(spreads ? spread(v, at.taps()) : v);
  }
  return turning;
}

class PeftWriter {
 public:
  PeftWriter(const AdapterFile& file, Graph& graph) : graph_(graph) {
    GSNET_CHECK(!file.layers.empty(), "it adapts no layer");
    for (const LayerAdapter& one : file.layers) sources_.push_back(source_of(one, file.tensors));
    config_.version = kVersion;
    out_.metadata = {{"format", "pt"}};
    const auto all = [&](auto&& is) { return std::ranges::all_of(sources_, is, &Source::spec); };
    if (all([](const AdapterSpec& spec) { return spec.low_rank(); })) {
      write_low_rank();
    } else if (all([](const AdapterSpec& spec) { return spec.kind == AdapterKind::oft && !spec.scale; })) {
      write_oft();
    } else {
      write_boft();
    }
    write_saved(file.saved);
    choose_targets();
  }

  const TensorFile& tensors() const { return out_; }
  const PeftConfig& config() const { return config_; }

 private:
  Source source_of(const LayerAdapter& one, const TensorFile& tensors) {
    const auto& nodes = graph_.nodes();
    const auto found =
        std::ranges::find_if(nodes, [&](const Graph::Node& node) { return node.description.name == one.layer; });
    const auto site = found == nodes.end() ? std::nullopt : found->module->weight_site();
    GSNET_CHECK(site.has_value(), fmt::format("the network has no layer '{}' that takes an adapter", shown(one.layer)));
    const Tensor& base = site->weight->stored.value;
    Source source{one.spec, {one.layer, base.shape(), site->groups}, {}};
    GSNET_CHECK(site->groups == 1,
                fmt::format("layer '{}' is a convolution in {} groups, whose adapters PEFT cannot merge: leave it out",
                            one.layer, site->groups));
    const auto fresh = make_link(graph_.backend(), "peft", one.spec, source.site, base, RandomKey(0));
    for (const auto& [name, parameter] : fresh->parameters()) {
      const Tensor& given = tensors.at(one.layer + "." + name);
      GSNET_CHECK(given.shape() == parameter->value.shape(),
                  fmt::format("tensor '{}.{}' has shape {}, expected {}", one.layer, name, to_string(given.shape()),
                              to_string(parameter->value.shape())));
      source.tensors.emplace_back(name, with_dtype(given, DType::f64));
    }
    return source;
  }

  void put(const Source& source, const char* ending, const Tensor& tensor) {
    out_.tensors.emplace_back(kPrefix + source.site.layer + ending, with_dtype(tensor, DType::f32));
  }

  void write_low_rank() {
    const AdapterSpec& first = sources_.front().spec;
    config_.dora = first.kind == AdapterKind::dora;
    config_.rank = first.rank;
    const auto is_stabilised = [](const Source& source) { return source.spec.rank_stabilised; };
    config_.rank_stabilised = std::ranges::all_of(sources_, is_stabilised);
    const bool mixed = !config_.rank_stabilised && std::ranges::any_of(sources_, is_stabilised);
    const auto alpha = [&](const AdapterSpec& spec) {
      return mixed ? spec.low_rank_scale() * static_cast<double>(spec.rank) : spec.alpha;
    };
    config_.alpha = alpha(first);
    for (const Source& source : sources_) {
      const AdapterSite& at = source.site;
      GSNET_CHECK(source.spec.kind == first.kind,
                  fmt::format("layers '{}' and '{}' have LoRA and DoRA: PEFT's config has one of them",
                              sources_.front().site.layer, at.layer));
      const std::string only = "^" + escaped(at.layer);
      if (source.spec.rank != config_.rank) config_.ranks.emplace_back(only, source.spec.rank);
      if (alpha(source.spec) != config_.alpha) config_.alphas.emplace_back(only, alpha(source.spec));
      put(source, ".lora_A.weight", source.at("lora_A"));
      put(source, ".lora_B.weight", source.at("lora_B"));
      if (!config_.dora) continue;
      const bool conv = at.weight.rank() == 4;
      put(source, ".lora_magnitude_vector",
          source.at("lora_magnitude_vector").view(conv ? Shape{1, at.outputs(), 1, 1} : Shape{at.outputs()}));
    }
  }

  /// Throws Error for adapters that are no rotations of the inputs.
  std::vector<Turning> turnings() {
    std::vector<Turning> made;
    for (const Source& source : sources_) {
      const AdapterKind kind = source.spec.kind;
      const Shape& w = source.site.weight;
      GSNET_CHECK(kind != AdapterKind::gsoft && kind != AdapterKind::double_gsoft,
                  fmt::format("layer '{}': PEFT has no {}; export it as oft (one block) or as a LoRA",
                              source.site.layer, to_string(kind)));
      GSNET_CHECK(!source.spec.low_rank(), fmt::format("layer '{}' has a {}, others are turned: PEFT's config has one "
                                                       "method",
                                                       source.site.layer, to_string(kind)));
      GSNET_CHECK(w.rank() != 4 || w[2] == w[3],
                  fmt::format("layer '{}': PEFT turns square kernels only, this is {} x {}; export it as a LoRA",
                              source.site.layer, w[2], w[3]));
      made.push_back(turning_of(source));
    }
    return made;
  }

  void write_oft() {
    const AdapterSpec& first = sources_.front().spec;
    const std::vector<Turning> turned = turnings();
    config_.type = PeftType::oft;
    config_.share = first.share;
    config_.neumann = first.map == OrthogonalMap::neumann;
    config_.terms = config_.neumann ? first.terms : 5;
    GSNET_CHECK(!config_.neumann || first.terms != 3,
                "PEFT's polynomial of three terms has a fourth, I + 2K + 2K^2 + K^3: this one cannot be said");
    config_.constrained = first.constraint > 0;
    if (config_.constrained) config_.epsilon = first.constraint;
    for (size_t i = 0; i < sources_.size(); ++i) {
      const AdapterSpec& spec = sources_[i].spec;
      const bool neumann = spec.map == OrthogonalMap::neumann;
      GSNET_CHECK(
          spec.share == config_.share && neumann == config_.neumann && (!neumann || spec.terms == config_.terms),
          fmt::format("layers '{}' and '{}' share blocks, or approximate Cayley, differently: PEFT's config has "
                      "one setting",
                      sources_.front().site.layer, sources_[i].site.layer));
      // Held back already; where the generators are others, PEFT would hold back too much.
      config_.constrained = config_.constrained && spec.constraint == first.constraint && !turned[i].reshaped;
      Tensor v = turned[i].factors.front();
      if (neumann) {
        v = with_dtype(v, DType::f64);
        for (double& value : v.host<double>()) value = -value;
      }
      put(sources_[i], ".oft_R.weight", v);
    }
    choose_blocks(turned, adjusted);
  }

  void write_boft() {
    const std::vector<Turning> turned = turnings();
    config_.type = PeftType::boft;
    config_.factors = static_cast<int64_t>(turned.front().factors.size());
    for (size_t i = 0; i < sources_.size(); ++i) {
      const Source& source = sources_[i];
      const auto factors = static_cast<int64_t>(turned[i].factors.size());
      GSNET_CHECK(
          factors == config_.factors && source.spec.map != OrthogonalMap::neumann,
          fmt::format("layer '{}': PEFT's BOFT is exact, and has one number of factors for all layers ({} here, "
                      "{} in '{}')",
                      source.site.layer, factors, config_.factors, sources_.front().site.layer));
      put(source, ".boft_R", full_generators(turned[i], source.places()));
      const int64_t outputs = source.site.outputs();
      Tensor scale = Tensor::empty({outputs}, DType::f64);
      std::ranges::fill(scale.host<double>(), 1.0);
      if (source.spec.scale) scale = source.at("scale");
      put(source, ".boft_s", scale.view(source.site.weight.rank() == 4 ? Shape{1, outputs} : Shape{outputs, 1}));
    }
    choose_blocks(turned, [](int64_t, int64_t wanted) { return wanted; });
  }

  /// (factors, blocks, b, b): PEFT takes the skew-symmetric part, which is all there is.
  static Tensor full_generators(const Turning& turning, int64_t places) {
    const int64_t b = turning.block, blocks = places / b;
    Tensor all = Tensor::empty({static_cast<int64_t>(turning.factors.size()), blocks, b, b}, DType::f64);
    std::ranges::fill(all.host<double>(), 0.0);
    double* to = all.data<double>();
    for (const Tensor& v : turning.factors) {
      for (int64_t block = 0; block < blocks; ++block, to += b * b) {
        const double* from = v.data<double>() + (v.shape()[0] == 1 ? 0 : block) * v.shape()[1];
        for (int64_t i = 0; i < b; ++i) {
          for (int64_t j = i + 1; j < b; ++j, ++from) {
            to[i * b + j] = *from;
            to[j * b + i] = -*from;
          }
        }
      }
    }
    return all;
  }

  /// What PEFT makes of a setting that does not divide: the nearest divisor, the smaller of two.
  static int64_t adjusted(int64_t places, int64_t wanted) {
    if (wanted >= places) return places;
    int64_t higher = wanted, lower = wanted;
    while (higher < places && places % higher != 0) ++higher;
    while (lower > 1 && places % lower != 0) --lower;
    return wanted - lower <= higher - wanted ? lower : higher;
  }

  /// One block size, or one number of blocks, from which PEFT comes to every layer's own.
  void choose_blocks(const std::vector<Turning>& turned, const std::function<int64_t(int64_t, int64_t)>& made_of) {
    for (const bool by_size : {true, false}) {
      const auto setting = [&](size_t i) { return by_size ? turned[i].block : sources_[i].places() / turned[i].block; };
      for (size_t candidate = 0; candidate < turned.size(); ++candidate) {
        bool fits = true;
        for (size_t i = 0; i < turned.size() && fits; ++i) {
          fits = made_of(sources_[i].places(), setting(candidate)) == setting(i);
        }
        if (!fits) continue;
        (by_size ? config_.block : config_.blocks) = setting(candidate);
        return;
      }
    }
    size_t other = 1;
    while (turned[other].block == turned[0].block) ++other;
    throw Error(
        fmt::format("layers '{}' and '{}' have blocks of {} and {}, and neither one block size nor one number of "
                    "blocks gives all layers theirs: PEFT's config has one setting; export it as a LoRA",
                    sources_[0].site.layer, sources_[other].site.layer, turned[0].block, turned[other].block));
  }

  bool is_adapted(const std::string& name) const {
    return std::ranges::any_of(sources_, [&](const Source& source) { return source.site.layer == name; });
  }

  void write_saved(const TensorFile& saved) {
    constexpr const char* kBiases[] = {"lora_only", "oft_only", "boft_only"};
    for (const auto& [name, tensor] : saved.tensors) {
      const size_t dot = std::min(name.rfind('.'), name.size());
      const std::string module = name.substr(0, dot), leaf = name.substr(std::min(dot + 1, name.size()));
      GSNET_CHECK(
          !is_adapted(module) || leaf == "bias",
          fmt::format("'{}' was trained as a whole and is adapted too: PEFT's files cannot say both", shown(name)));
      if (is_adapted(module)) {
        config_.bias = kBiases[static_cast<size_t>(config_.type)];
        out_.tensors.emplace_back(fmt::format("{}{}.base_layer.{}", kPrefix, module, leaf), tensor);
        continue;
      }
      out_.tensors.emplace_back(kPrefix + name, tensor);
      if (std::ranges::find(config_.modules_to_save, module) == config_.modules_to_save.end()) {
        config_.modules_to_save.push_back(module);
      }
    }
    for (const std::string& module : config_.modules_to_save) {
      for (const Source& source : sources_) {
        GSNET_CHECK(!source.site.layer.ends_with(module),
                    fmt::format("PEFT would take layer '{}' for the saved '{}': it goes by the end of names",
                                source.site.layer, shown(module)));
      }
    }
  }

  /// The list of layers; where the end of another layer's name is one of them, a pattern of exactly these.
  void choose_targets() {
    std::set<std::string> named;
    for (const Source& source : sources_) named.insert(source.site.layer);
    for (const Graph::Node& node : graph_.nodes()) {
      const std::string& name = node.description.name;
      const auto ends_it = [&](const std::string& target) { return name.ends_with("." + target); };
      config_.targets_are_pattern =
          config_.targets_are_pattern || (!named.contains(name) && std::ranges::any_of(named, ends_it));
    }
    config_.targets.assign(named.begin(), named.end());
    if (!config_.targets_are_pattern) return;
    std::string pattern;
    for (const std::string& name : named) pattern += (pattern.empty() ? "" : "|") + escaped(name);
    config_.targets = {pattern};
  }

  Graph& graph_;
  std::vector<Source> sources_;
  PeftConfig config_;
  TensorFile out_;
};

}  // namespace

void write_peft(const std::filesystem::path& folder, const AdapterFile& file, Graph& graph) {
  TensorFile tensors;
  std::string config;
  try {
    const PeftWriter writer(file, graph);
    tensors = writer.tensors();
    config = format_peft_config(writer.config());
  } catch (const Error& error) {
    throw Error(fmt::format("the adapter cannot be written for PEFT: {}", error.what()));
  }
  std::error_code problem;
  std::filesystem::create_directories(folder, problem);
  GSNET_CHECK(!problem, fmt::format("'{}' cannot be made: {}", folder.string(), problem.message()));
  write_safetensors(folder / "adapter_model.safetensors", tensors);
  write_atomically(folder / "adapter_config.json", config);
}

}  // namespace gsnet::io
