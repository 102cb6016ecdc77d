// Weight: stored numbers and the chain of parametrisations that makes a weight of them. Orthogonal layers and adapters
// are the same concept.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "autograd/tape.h"
#include "layers/module.h"

namespace gsnet {

/// One link: a differentiable function of a tensor (skew part, scale to a norm, exponential, low-rank addition, …).
class Parametrisation {
 public:
  virtual ~Parametrisation() = default;
  virtual Var apply(Tape& tape, const Var& w) = 0;
  /// Its own parameters and buffers, if any.
  virtual void visit(const std::string& path, Visitor& visitor) { (void)path, (void)visitor; }
  /// Grows whenever what it computes may have changed: the sum of its parameters' versions, say.
  virtual uint64_t version() const { return 0; }
};

class Weight {
 public:
  Parameter stored;

  void push(std::shared_ptr<Parametrisation> link);
  /// Takes a link out of the chain. Throws Error when it is not there.
  void remove(const Parametrisation& link);
  const std::vector<std::shared_ptr<Parametrisation>>& chain() const { return chain_; }

  /// The weight. In evaluation, and when nothing stored is to be trained, it is computed once and kept until a version
  /// changes: a hundred evaluations or attack steps pay for the parametrisation once.
  Var use(Tape& tape);
  void visit(const std::string& path, Visitor& visitor);

 private:
  std::vector<std::shared_ptr<Parametrisation>> chain_;
  Tensor kept_;
  uint64_t kept_version_ = 0;
};

}  // namespace gsnet
