// Adapters that add a product of two thin matrices: LoRA, DoRA.
#pragma once

#include <vector>

#include "adapters/link.h"

namespace gsnet {

/// W' = W + scale B A; DoRA: its rows at trained lengths, the rows' own lengths a constant for gradients (as PEFT).
/// Tensors in PEFT's shapes: "lora_A" (groups r, I, Kh, Kw) or (r, I), uniform in ± 1 / sqrt(I Kh Kw) at first;
/// "lora_B" (O, r, 1, 1) or (O, r), 0 at first; DoRA's "lora_magnitude_vector" (O), the rows' lengths at first. With
/// groups, each has its own r rows of A.
class LowRankLink final : public AdapterLink {
 public:
  LowRankLink(Backend& backend, std::string adapter, const AdapterSpec& spec, AdapterSite site, const Tensor& base,
              RandomKey key);

  LinkReport report() const override;
  /// LoRA only: a product of as many rows as all terms have together; this link has that rank.
  void combine(Backend& backend, const std::vector<Term>& terms) override;

  /// A and B, for optimisers that treat them as a pair.
  Parameter& a() { return *a_; }
  Parameter& b() { return *b_; }

 protected:
  Var adapted(Tape& tape, const Var& w) override;
  Var adapted_at(Tape& tape, const Var& w, double strength) override;

 private:
  /// W + factor B A.
  Var added(Tape& tape, const Var& w, double factor);
  /// Rows' lengths, a constant.
  static Tensor lengths(Backend& backend, const Tensor& w);

  Parameter *a_ = nullptr, *b_ = nullptr, *magnitude_ = nullptr;
};

}  // namespace gsnet
