#include "io/peft_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <regex>

#include "core/error.h"
#include "io/json_text.h"
#include "io/safetensors_header.h"

namespace gsnet::io {
namespace {

using Json = nlohmann::ordered_json;

/// Of the text of one regular expression, which nests no repetitions: matching it takes no time to speak of.
constexpr size_t kLongestPattern = 256;
constexpr int64_t kMostRepetitions = 4;
constexpr int64_t kMostRows = 65'536;

/// Keys of a config object by type; a key that is missing or null has its standard.
class Keys {
 public:
  explicit Keys(const Json& object) : object_(object) {}

  const Json* find(const char* key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  bool flag(const char* key, bool missing) const {
    const Json* value = find(key);
    if (value == nullptr) return missing;
    GSNET_CHECK(value->is_boolean(), fmt::format("'{}' must be true or false", key));
    return value->get<bool>();
  }
  int64_t integer(const char* key, int64_t missing) const {
    const Json* value = find(key);
    return value == nullptr ? missing : whole(*value, key);
  }
  double number(const char* key, double missing) const {
    const Json* value = find(key);
    return value == nullptr ? missing : real(*value, key);
  }
  std::string text(const char* key, const char* missing) const {
    const Json* value = find(key);
    if (value == nullptr) return missing;
    GSNET_CHECK(value->is_string(), fmt::format("'{}' must be a text", key));
    return value->get<std::string>();
  }
  const Json* object(const char* key) const {
    const Json* value = find(key);
    GSNET_CHECK(value == nullptr || value->is_object(), fmt::format("'{}' must be an object", key));
    return value;
  }

  static int64_t whole(const Json& value, const std::string& key) {
    GSNET_CHECK(value.is_number_integer(), fmt::format("'{}' must be a whole number", key));
    const double size = value.get<double>();
    GSNET_CHECK(size >= 0 && size <= kMostRows, fmt::format("'{}' must be 0 … {}, got {}", key, kMostRows, size));
    return value.get<int64_t>();
  }
  static double real(const Json& value, const std::string& key) {
    GSNET_CHECK(value.is_number() && std::isfinite(value.get<double>()),
                fmt::format("'{}' must be a finite number", key));
    return value.get<double>();
  }

 private:
  const Json& object_;
};

/// Repetitions of groups take exponential time, many repetitions a high power of the name's length.
void check_pattern(const std::string& pattern, const char* key) {
  int64_t repetitions = 0;
  bool nested = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (std::string_view("*+{").find(pattern[i]) == std::string_view::npos) continue;
    ++repetitions;
    nested = nested || (i > 0 && pattern[i - 1] == ')');
  }
  GSNET_CHECK(pattern.size() <= kLongestPattern && repetitions <= kMostRepetitions && !nested,
              fmt::format("'{}' has a pattern that is longer than {} letters, repeats a group or has more than {} "
                          "repetitions: '{}'",
                          key, kLongestPattern, kMostRepetitions, shown(pattern)));
  try {
    const std::regex compiled("(.*\\.)?(" + pattern + ")$");
  } catch (const std::regex_error& error) {
    throw Error(fmt::format("'{}': '{}' is no regular expression: {}", key, shown(pattern), error.what()));
  }
}

/// The value of the first pattern that fits.
template <class T>
T first_fit(const std::vector<std::pair<std::string, T>>& patterns, const std::string& layer, T missing) {
  for (const auto& [pattern, value] : patterns) {
    if (std::regex_search(layer, std::regex("^(.*\\.)?(" + pattern + ")$"))) return value;
  }
  return missing;
}

void refuse_variants(const Keys& keys) {
  if (const Json* init = keys.find("init_lora_weights"); init != nullptr && init->is_string()) {
    const auto name = init->get<std::string>();
    for (const char* known : {"pissa", "corda", "olora", "loftq", "lora_ga", "mica"}) {
      GSNET_CHECK(!name.starts_with(known),
                  fmt::format("'init_lora_weights' is '{}': it changes the base weights, which the adapter then needs; "
                              "have PEFT convert it to a plain LoRA when saving",
                              shown(name)));
    }
  }
  for (const char* key :
       {"use_qalora", "use_bdlora", "alora_invocation_tokens", "target_parameters", "arrow_config", "kasa_config",
        "monteclora_config", "velora_config", "layer_replication", "trainable_token_indices", "megatron_config"}) {
    const Json* value = keys.find(key);
    const bool off = value == nullptr || *value == Json(false) || (value->is_structured() && value->empty());
    GSNET_CHECK(off, fmt::format("'{}' asks for a variant of LoRA that is not a product added to a weight", key));
  }
}

void read_lora(const Keys& keys, PeftConfig& config) {
  refuse_variants(keys);
  config.rank = keys.integer("r", config.rank);
  config.alpha = keys.number("lora_alpha", config.alpha);
  config.rank_stabilised = keys.flag("use_rslora", false);
  config.dora = keys.flag("use_dora", false);
  config.trains_bias = keys.flag("lora_bias", false);
  if (const Json* ranks = keys.object("rank_pattern")) {
    for (const auto& [pattern, value] : ranks->items()) {
      check_pattern(pattern, "rank_pattern");
      config.ranks.emplace_back(pattern, Keys::whole(value, "rank_pattern"));
    }
  }
  if (const Json* alphas = keys.object("alpha_pattern")) {
    for (const auto& [pattern, value] : alphas->items()) {
      check_pattern(pattern, "alpha_pattern");
      config.alphas.emplace_back(pattern, Keys::real(value, "alpha_pattern"));
    }
  }
}

void read_oft(const Keys& keys, PeftConfig& config) {
  GSNET_CHECK(keys.find("oft_block_size") != nullptr,
              "OFT without 'oft_block_size': it was written before PEFT 0.14, whose OFT was another");
  config.block = keys.integer("oft_block_size", 0);
  config.blocks = keys.integer("r", 0);
  GSNET_CHECK((config.block == 0) != (config.blocks == 0),
              fmt::format("OFT needs one of 'r' and 'oft_block_size', the other 0; they are {} and {}", config.blocks,
                          config.block));
  config.constrained = keys.flag("coft", false);
  config.epsilon = keys.number("eps", config.epsilon);
  GSNET_CHECK(!config.constrained || config.epsilon > 0,
              fmt::format("'coft' needs a positive 'eps', got {}", config.epsilon));
  config.share = keys.flag("block_share", false);
  config.neumann = keys.flag("use_cayley_neumann", true);
  config.terms = keys.integer("num_cayley_neumann_terms", config.terms);
  GSNET_CHECK(config.terms >= 1 && config.terms <= 64,
              fmt::format("'num_cayley_neumann_terms' must be 1 … 64, got {}", config.terms));
}

void read_boft(const Keys& keys, PeftConfig& config) {
  config.block = keys.integer("boft_block_size", 4);
  config.blocks = keys.integer("boft_block_num", 0);
  GSNET_CHECK((config.block == 0) != (config.blocks == 0),
              fmt::format("BOFT needs one of 'boft_block_num' and 'boft_block_size', the other 0; they are {} and {}",
                          config.blocks, config.block));
  config.factors = keys.integer("boft_n_butterfly_factor", 1);
}

template <class T>
Json object_of(const std::vector<std::pair<std::string, T>>& entries) {
  Json object = Json::object();
  for (const auto& [key, value] : entries) object[key] = value;
  return object;
}

void put_lora(const PeftConfig& config, Json& json) {
  json["alpha_pattern"] = object_of(config.alphas);
  json["init_lora_weights"] = true;
  json["lora_alpha"] = config.alpha;
  json["lora_bias"] = config.trains_bias;
  json["lora_dropout"] = 0.0;
  json["r"] = config.rank;
  json["rank_pattern"] = object_of(config.ranks);
  json["use_dora"] = config.dora;
  json["use_rslora"] = config.rank_stabilised;
}

void put_oft(const PeftConfig& config, Json& json) {
  json["block_share"] = config.share;
  json["coft"] = config.constrained;
  json["eps"] = config.epsilon;
  json["init_weights"] = true;
  json["module_dropout"] = 0.0;
  json["num_cayley_neumann_terms"] = config.terms;
  json["oft_block_size"] = config.block;
  json["r"] = config.blocks;
  json["use_cayley_neumann"] = config.neumann;
}

void put_boft(const PeftConfig& config, Json& json) {
  json["boft_block_num"] = config.blocks;
  json["boft_block_size"] = config.block;
  json["boft_dropout"] = 0.0;
  json["boft_n_butterfly_factor"] = config.factors;
  json["init_weights"] = true;
}

}  // namespace

int64_t PeftConfig::rank_of(const std::string& layer) const { return first_fit(ranks, layer, rank); }

double PeftConfig::alpha_of(const std::string& layer) const { return first_fit(alphas, layer, alpha); }

PeftConfig parse_peft_config(const std::string& text) {
  const Json json = parse_json(text, "the config");
  GSNET_CHECK(json.is_object(), "the config must be an object");
  const Keys keys(json);
  const std::string type = keys.text("peft_type", "");
  GSNET_CHECK(!type.empty(), "the config has no 'peft_type'");
  PeftConfig config;
  if (type == "LORA") {
    read_lora(keys, config);
  } else if (type == "OFT") {
    config.type = PeftType::oft;
    read_oft(keys, config);
  } else {
    GSNET_CHECK(type == "BOFT", fmt::format("'peft_type' is '{}': LORA, OFT and BOFT can be read", shown(type)));
    config.type = PeftType::boft;
    read_boft(keys, config);
  }
  config.bias = keys.text("bias", "none");
  config.version = keys.text("peft_version", "");
  config.base = keys.text("base_model_name_or_path", "");
  return config;
}

std::string format_peft_config(const PeftConfig& config) {
  constexpr const char* kTypes[] = {"LORA", "OFT", "BOFT"};
  Json json = {{"base_model_name_or_path", nullptr},
               {"bias", config.bias},
               {"exclude_modules", nullptr},
               {"fan_in_fan_out", false},
               {"inference_mode", true},
               {"layers_pattern", nullptr},
               {"layers_to_transform", nullptr},
               {"modules_to_save", config.modules_to_save.empty() ? Json(nullptr) : Json(config.modules_to_save)},
               {"peft_type", kTypes[static_cast<size_t>(config.type)]},
               {"peft_version", config.version},
               {"revision", nullptr},
               {"target_modules", config.targets_are_pattern ? Json(config.targets.front()) : Json(config.targets)},
               {"task_type", nullptr}};
  if (config.type == PeftType::lora) put_lora(config, json);
  if (config.type == PeftType::oft) put_oft(config, json);
  if (config.type == PeftType::boft) put_boft(config, json);
  dump_json(json, "the config");  // texts that are not UTF-8 are errors
  return json.dump(2) + "\n";
}

std::string escaped(const std::string& text) {
  std::string pattern;
  for (const char letter : text) {
    if (std::string_view("^$\\.*+?()[]{}|").find(letter) != std::string_view::npos) pattern += '\\';
    pattern += letter;
  }
  return pattern;
}

}  // namespace gsnet::io
