// The chain from free numbers to a skew-symmetric kernel of bounded norm.
#pragma once

#include <array>
#include <memory>

#include "backend/kernel_norm.h"
#include "core/random.h"
#include "layers/weight.h"

namespace gsnet {

/// How a kernel's size is controlled.
enum class ScaleKind : uint8_t {
  gram,     ///< divided by a sound upper bound of |J|: |J| <= norm holds
  stretch,  ///< divided by an estimate of |J| on the layer's map, from below: tighter by a factor of about 2, and cheap
  four_forms,  ///< the reference code: correction * k / (smallest bilinear form + 1e-12); |J| <= sqrt(taps) correction
               ///< only if its power iteration has converged
};

/// (w - T w) / 2 in groups. `remade`: the backward pass makes it, and what is scaled of it, again.
class SkewPart final : public Parametrisation {
 public:
  SkewPart(int64_t groups, bool remade) : groups_(groups), remade_(remade) {}
  Var apply(Tape& tape, const Var& w) override;

 private:
  int64_t groups_;
  bool remade_;
};

/// k * norm / gram_norm(k), a group at a time.
class GramScale final : public Parametrisation {
 public:
  GramScale(int64_t groups, double norm) : groups_(groups), norm_(norm) {}
  Var apply(Tape& tape, const Var& k) override;

 private:
  int64_t groups_;
  double norm_;
};

/// k * norm / s, s the stretch of a vector (C, H, W) a group that every training step turns by one round of power
/// iteration, many at the start. The vector is a buffer of the model, so that evaluation computes the same s again; how
/// far |J| is above `norm` then, a bound must tell.
class StretchScale final : public Parametrisation {
 public:
  /// For a kernel of (groups m, m, height, width) on maps of the size of `map` (H, W); `stored` gives the first vector.
  /// `watched`: a training step assumes that s is about |J|, and looks by rounds of its own.
  StretchScale(Backend& backend, RandomKey key, int64_t groups, const Tensor& stored, const Shape& map, double norm,
               bool watched);
  Var apply(Tape& tape, const Var& k) override;
  void visit(const std::string& path, Visitor& visitor) override;

 private:
  void watch(Tape& tape, const Var& k, const Tensor& from, const Tensor& s) const;

  int64_t groups_;
  double norm_;
  bool watched_;
  Tensor next_;  // (C, H, W), groups of unit length
  Tensor last_;  // the one before, which this step's forward pass used
};

/// The reference code's scale (arXiv 2406.10019, public code): vectors u1 … v4 and `correction` are buffers of the
/// model; 50 rounds of power iteration at the start and every 200 training steps, one in between, none in evaluation.
class FourFormsScale final : public Parametrisation {
 public:
  /// For a kernel of (groups m, m, height, width); `stored` gives the first vectors.
  FourFormsScale(Backend& backend, RandomKey key, int64_t groups, const Tensor& stored, double correction,
                 bool watched);
  Var apply(Tape& tape, const Var& k) override;
  void visit(const std::string& path, Visitor& visitor) override;

 private:
  /// Of power iteration in the training step that comes.
  int rounds() const;
  double correction(Backend& backend);
  void watch(Tape& tape, const Var& k, const Tensor& s) const;

  int64_t groups_;
  bool watched_;
  FourForms forms_;
  Tensor correction_;  // (1)
  Tensor steps_;       // (1) i64, on the host

  Tensor read_;  // the tensor that the number was read from: a recorded step cannot
  double read_correction_ = 0;
};

/// A kernel (groups m, m, height, width) with N(0, 1/m) entries, its skew part scaled to `norm`; for maps (H, W).
Weight make_skew_weight(Backend& backend, RandomKey key, int64_t groups, const Shape& kernel, const Shape& map,
                        ScaleKind scale, double norm, bool remade, bool watched = false);

/// Fills a new parameter on the machine by value(random) in memory order.
template <class Draw>
Tensor draw_tensor(Backend& backend, RandomKey key, const Shape& shape, Draw&& draw) {
  Tensor host = Tensor::empty(shape, DType::f64);
  Random random(key);
  for (double& value : host.host<double>()) value = draw(random);
  return backend.upload(host);
}

}  // namespace gsnet
