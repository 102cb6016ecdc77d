// adapter_config.json: what of PEFT's settings changes a weight.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace gsnet::io {

enum class PeftType : uint8_t { lora, oft, boft };

struct PeftConfig {
  PeftType type = PeftType::lora;

  // LORA; patterns are regular expressions that a layer's name ends with, the first that fits counts.
  int64_t rank = 8;
  double alpha = 8;
  bool rank_stabilised = false, dora = false, trains_bias = false;  ///< use_rslora, use_dora, lora_bias
  std::vector<std::pair<std::string, int64_t>> ranks;               ///< rank_pattern
  std::vector<std::pair<std::string, double>> alphas;               ///< alpha_pattern

  // OFT and BOFT: one of the two is zero.
  int64_t block = 0, blocks = 0;  ///< oft_block_size, r; boft_block_size, boft_block_num
  bool constrained = false, share = false, neumann = true;
  double epsilon = 6e-5;
  int64_t terms = 5;
  int64_t factors = 1;

  std::string bias = "none";
  std::vector<std::string> targets;  ///< layers, or one regular expression of whole names; for writing
  bool targets_are_pattern = false;
  std::vector<std::string> modules_to_save;  ///< for writing
  std::string version, base;                 ///< peft_version, base_model_name_or_path; empty: not said

  int64_t rank_of(const std::string& layer) const;
  double alpha_of(const std::string& layer) const;
};

/// Throws Error, without the file's name, naming the key that is missing, of another type, or asks for what cannot be
/// read.
PeftConfig parse_peft_config(const std::string& text);

/// A text that PEFT loads. Throws Error for names that are not UTF-8.
std::string format_peft_config(const PeftConfig& config);

/// A regular expression that fits this text only.
std::string escaped(const std::string& text);

}  // namespace gsnet::io
