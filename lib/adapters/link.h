// AdapterLink: one adapter on one layer, the last links in the chain from stored numbers to a weight.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapters/spec.h"
#include "layers/weight.h"

namespace gsnet {

/// The weight's shape as an adapter sees it.
struct AdapterSite {
  std::string layer;
  Shape weight;        ///< (O, I / groups, Kh, Kw) or (O, I)
  int64_t groups = 1;  ///< of the layer

  int64_t outputs() const { return weight[0]; }
  int64_t inputs() const { return weight[1]; }  ///< of one group
  int64_t taps() const { return weight.rank() == 4 ? weight[2] * weight[3] : 1; }
};

/// What came of an adapter on a layer, for tables.
struct LinkReport {
  int64_t stored = 0;  ///< numbers in its tensors
  int64_t free = 0;    ///< dimensions of what it can reach: a LoRA product of rank r has r too many numbers a row of it
  std::string shape;   ///< "2 x 8 blocks of 16" or "rank 8"
  std::string note;    ///< "not dense: …", "block 3 in place of 16"; empty when there is nothing to say
};

class AdapterLink : public Parametrisation {
 public:
  /// The weight as the adapter makes it: w itself when it is off. Throws Error in training at a strength other than 1.
  Var apply(Tape& tape, const Var& w) final;
  uint64_t version() const final;

  bool enabled() const { return enabled_; }
  void enable(bool on);
  double strength() const { return strength_; }
  /// How far along the way from the base (0) to the adapter (1): rotations along their geodesics, each factor by
  /// itself; what is added or multiplied, in proportion. Any finite number.
  void set_strength(double t);

  const AdapterSpec& spec() const { return spec_; }
  const AdapterSite& site() const { return site_; }
  /// Its tensors as `name` ("in.0", "lora_A", …), under path + "." + adapter's name + ".".
  void visit(const std::string& path, Visitor& visitor) final;
  virtual LinkReport report() const = 0;
  /// Becomes the sum of others of its shape, each times a weight: rotations in their generators. Throws Error when
  /// there is no such sum.
  using Term = std::pair<const AdapterLink*, double>;
  virtual void combine(Backend& backend, const std::vector<Term>& terms) = 0;
  /// The tensors with the names that visit() gives them.
  std::vector<std::pair<std::string, Parameter*>> parameters();
  /// Null when there is none of the name.
  const Parameter* find(const std::string& name) const;

 protected:
  AdapterLink(std::string adapter, AdapterSpec spec, AdapterSite site)
      : adapter_(std::move(adapter)), spec_(spec), site_(std::move(site)) {}

  /// With everything that is trained on the tape.
  virtual Var adapted(Tape& tape, const Var& w) = 0;
  /// The same, in evaluation, at a strength other than 1.
  virtual Var adapted_at(Tape& tape, const Var& w, double strength) = 0;
  /// A tensor of its own.
  Parameter& keep(std::string name, Tensor value);

 private:
  std::string adapter_;
  AdapterSpec spec_;
  AdapterSite site_;
  bool enabled_ = true;
  double strength_ = 1;
  uint64_t switches_ = 0;
  std::deque<std::pair<std::string, Parameter>> parameters_;
};

/// A fresh adapter on a layer, which changes nothing yet; random numbers, where there are any, are a function of the
/// key. `base` is the weight it starts from. Throws Error naming the layer when the kind cannot be put there: a
/// dimension of one, a butterfly that does not divide, a rank larger than the matrix.
std::shared_ptr<AdapterLink> make_link(Backend& backend, const std::string& adapter, const AdapterSpec& spec,
                                       const AdapterSite& site, const Tensor& base, RandomKey key);

}  // namespace gsnet
