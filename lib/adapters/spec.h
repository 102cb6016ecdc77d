// What an adapter is: its kind and settings, as recipes and files say them.
#pragma once

#include <cstdint>
#include <string>

#include "layers/description.h"

namespace gsnet {

/// W is a weight (O, I / groups, Kh, Kw) or (O, I). Adapters with groups act within each group.
enum class AdapterKind : uint8_t {
  gsoft,         ///< W diag-scaled: s W Q, Q a Group-and-Shuffle matrix (arXiv 2406.10019)
  double_gsoft,  ///< s Q_U W Q
  oft,           ///< s W Q, Q block-diagonal (Qiu et al., NeurIPS 2023)
  boft,          ///< s W Q, Q a product of butterfly factors (Liu et al., ICLR 2024)
  lora,          ///< W + (alpha / rank) B A (Hu et al., ICLR 2022)
  dora,          ///< rows of that at trained lengths (Liu et al., ICML 2024)
};

/// What a rotation of the inputs turns.
enum class RotationForm : uint8_t {
  channel,  ///< the input channels: the layer's operator keeps its singular values
  kernel,   ///< the I Kh Kw entries of every filter, as PEFT's OFT and BOFT do
};

/// From a skew-symmetric block to an orthogonal one.
enum class OrthogonalMap : uint8_t {
  cayley,   ///< (I + K)(I - K)^-1
  exp,      ///< exp(K)
  neumann,  ///< I + 2K + 2K^2 + … + K^p, PEFT's cheap stand-in for Cayley: not orthogonal, kept to read its files
};

struct AdapterSpec {
  AdapterKind kind = AdapterKind::gsoft;
  RotationForm form = RotationForm::channel;
  OrthogonalMap map = OrthogonalMap::cayley;
  int64_t block = 16;            ///< rows of a block; a layer it does not divide gets the largest divisor below it
  int64_t factors = 2;           ///< of a Group-and-Shuffle or butterfly product
  bool scale = false;            ///< train s, one number an output; on for boft when read from settings
  bool share = false;            ///< oft: one block for all
  double constraint = 0;         ///< oft: |K| of a block at most this / sqrt(blocks), 0: free (COFT)
  int64_t terms = 5;             ///< of neumann: its degree is terms - 1
  int64_t rank = 8;              ///< lora, dora: of each group
  double alpha = 8;              ///< lora, dora: the product is scaled by alpha / rank
  bool rank_stabilised = false;  ///< by alpha / sqrt(rank)

  /// Settings by the names above ("kind", "form", "map", …). Throws Error naming an unknown key, a wrong value, or one
  /// that the kind has no use for.
  static AdapterSpec from(const Attributes& attributes);
  /// Those that the kind has a use for.
  Attributes attributes() const;
  bool low_rank() const { return kind == AdapterKind::lora || kind == AdapterKind::dora; }
  /// What B A is multiplied by.
  double low_rank_scale() const;

  bool operator==(const AdapterSpec&) const = default;
};

std::string to_string(AdapterKind kind);

}  // namespace gsnet
