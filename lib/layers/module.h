// Module: structure and parameters, walkable. It says how it computes, what shape it gives, what it costs and how far
// it can stretch a distance; gradients are the tape's business.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "autograd/tape.h"
#include "core/bound.h"
#include "core/random.h"
#include "layers/description.h"
#include "layers/emitter.h"
#include "layers/epilogue.h"
#include "layers/rounding.h"

namespace gsnet {

class Weight;

/// What one evaluation of one batch costs.
struct Cost {
  double macs = 0;         ///< multiply-adds, in evaluation form
  int64_t parameters = 0;  ///< stored numbers that training changes
  /// Multiply-adds of a training step's forward pass, where it has another form.
  std::optional<double> training_macs = {};
};

/// An upper bound on how far a layer stretches L2 distances, and how it was proven ("isometry", "gram", ...).
struct LayerBound {
  UpperBound value;
  std::string method;
};

/// Called with every parameter, buffer and counter of a module under its path name.
class Visitor {
 public:
  virtual ~Visitor() = default;
  virtual void parameter(const std::string& name, Parameter& parameter) = 0;
  /// Numbers that belong to the model but are not trained by gradients (power-iteration vectors, running statistics).
  virtual void buffer(const std::string& name, Tensor& buffer) = 0;
};

/// A weight that adapters may be put on, and how its layer uses it: y = conv(x, w), or y = w x where rank is 2.
struct WeightSite {
  Weight* weight = nullptr;  ///< (O, I / groups, Kh, Kw), or (O, I)
  int64_t groups = 1;        ///< w[o] sees the inputs of group o / (O / groups) only
};

/// What a module needs to come to life.
struct BuildContext {
  Backend& backend;
  RandomKey key;              ///< initial values are a function of it
  std::vector<Shape> inputs;  ///< (C, H, W) or (C): shapes of one sample
};

class Module {
 public:
  virtual ~Module() = default;

  /// `x`: one Var an input, of shape (N, …).
  virtual Var forward(Tape& tape, std::span<const Var> x) = 0;
  /// Of one sample, as are the shapes of `x`.
  virtual Shape output_shape(std::span<const Shape> x) const = 0;
  virtual Cost cost(std::span<const Shape> x) const = 0;
  /// A bound for how far the output moves when input i moves by `in[i]` times a distance, for all i at once.
  /// Throws Error when none is known.
  virtual LayerBound bound(std::span<const UpperBound> in, std::span<const Shape> x) const = 0;
  /// What executing the layer adds to the rounding errors of its inputs; |x|_2 is the sum over its inputs. Throws Error
  /// when nothing is known.
  virtual RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const;
  /// The matrix (O, I) row-major of a module that is x -> W x + b on flat inputs, as executed, on the host in double.
  virtual std::optional<Tensor> matrix() const { return std::nullopt; }
  /// The weight that adapters may be put on, if the layer is one linear map by a weight of its own.
  virtual std::optional<WeightSite> weight_site() { return std::nullopt; }
  /// What the layer does in this mode, for a convolution before it that could do it instead.
  virtual EpilogueStep epilogue_step(const TapeMode&) const { return {}; }
  /// The numbers of a step of kind affine.
  virtual ChannelAffine channel_affine(Tape& tape) const;
  /// Whether forward(tape, x, epilogue) is there.
  virtual bool takes_epilogue() const { return false; }
  /// The layer and what follows it at once. x: the one input.
  virtual Var forward(Tape& tape, const Var& x, const Epilogue& then);
  /// Says what evaluation computes to an exporter, in plain operators. Throws Error when it cannot be said so.
  virtual Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x, std::span<const Shape> shapes) const;
  virtual void visit(const std::string& path, Visitor& visitor) { (void)path, (void)visitor; }
};

/// A module of one input.
class UnaryModule : public Module {
 public:
  Var forward(Tape& tape, std::span<const Var> x) final { return forward(tape, x[0]); }
  Shape output_shape(std::span<const Shape> x) const final { return output_shape(x[0]); }
  Cost cost(std::span<const Shape> x) const final { return cost(x[0]); }
  LayerBound bound(std::span<const UpperBound> in, std::span<const Shape> x) const final;

  virtual Var forward(Tape& tape, const Var& x) = 0;
  virtual Shape output_shape(const Shape& x) const = 0;
  virtual Cost cost(const Shape& x) const;
  /// The module's Lipschitz constant in L2, for inputs of this shape.
  virtual LayerBound lipschitz(const Shape& x) const = 0;
};

/// Makes a module of a registered type. Throws Error naming an unknown type, setting or shape that does not fit.
std::unique_ptr<Module> build_module(const std::string& type, const Attributes& attributes,
                                     const BuildContext& context);

/// All registered types, for messages and documentation.
std::vector<std::string> module_types();

}  // namespace gsnet
