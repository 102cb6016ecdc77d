// Adapters that multiply a weight by orthogonal matrices: GSOFT, Double GSOFT, OFT, BOFT.
#pragma once

#include <vector>

#include "adapters/link.h"
#include "backend/rotation.h"

namespace gsnet {

/// Tensors: "in.<i>" and, of Double GSOFT, "out.<i>", the strict triangles (groups blocks, b (b - 1) / 2) of factor i's
/// generators, 0 at first; "scale" (O), 1 at first. Factor 0 takes neighbours; GSOFT's factor i the shuffle's i-th
/// power.
class RotationLink final : public AdapterLink {
 public:
  RotationLink(Backend& backend, std::string adapter, const AdapterSpec& spec, AdapterSite site);

  LinkReport report() const override;
  void combine(Backend& backend, const std::vector<Term>& terms) override;

 protected:
  Var adapted(Tape& tape, const Var& w) override;
  Var adapted_at(Tape& tape, const Var& w, double strength) override;

 private:
  struct Factor {
    RotationSpec rotation;
    Parameter* generator;
  };

  /// Patterns of one side's factors, by number.
  std::vector<BlockPattern> patterns(int64_t n) const;
  void add_side(Backend& backend, const char* name, const RotationSpec& like, int64_t n);
  /// The map of generators (B, b, b).
  Var orthogonal(const Var& k) const;
  void constrain(Tape& tape, Parameter& generator) const;

  std::vector<Factor> factors_;             // in the order in which w meets them
  mutable std::vector<Tensor> identities_;  // that Neumann series begin with
  Parameter* scale_ = nullptr;
};

/// The orthogonal matrix of every generator v (B, b (b - 1) / 2) at a strength t, on the host in double: the power t of
/// the map's value, along the geodesic. (B, b, b).
Tensor geodesic(const Tensor& v, int64_t block, const AdapterSpec& spec, double t);

/// The smallest number of places that a place reaches through the patterns, one after the other: n where the product is
/// dense.
int64_t reach(const std::vector<BlockPattern>& patterns);

}  // namespace gsnet
