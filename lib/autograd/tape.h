// The tape owns gradients: a list of nodes in execution order, replayed backwards; each dies after its turn.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "autograd/parameter.h"
#include "backend/backend.h"
#include "core/tensor.h"

namespace gsnet {

class Tape;

/// A value that its maker need not keep: an op that reads it and has it in its backward pass anyway promises to hand it
/// back, before it gives its gradient. How orthogonal layers keep no activations: each makes its input again from its
/// output (Gomez et al., "The reversible residual network", NeurIPS 2017).
class HandedBack {
 public:
  /// `let_go`: what the maker does once there is a promise.
  explicit HandedBack(std::function<void()> let_go) : let_go_(std::move(let_go)) {}
  void promise();
  void give(Tensor value) { value_ = std::move(value); }
  /// Throws Error when the reader that promised had no part in what is differentiated.
  Tensor take();

 private:
  std::function<void()> let_go_;
  bool promised_ = false;
  Tensor value_;
};

/// A tensor and its place on a tape. Without a place it is a constant: nothing is recorded for it.
struct Var {
  Tensor value;
  Tape* tape = nullptr;
  int32_t id = -1;
  /// Where that is cheap and memory matters: makes the value again, bit for bit. See Kept.
  std::function<Tensor()> remake = {};
  /// Where the maker would rather not keep the value.
  std::shared_ptr<HandedBack> handed_back = {};

  const Shape& shape() const { return value.shape(); }
  bool tracked() const { return id >= 0; }
};

/// What a vjp keeps of an input: its value, or the way to make it again.
class Kept {
 public:
  explicit Kept(const Var& of) : value_(of.remake ? Tensor() : of.value), remake_(of.remake) {}
  Tensor operator()() const { return remake_ ? remake_() : value_; }

 private:
  Tensor value_;
  std::function<Tensor()> remake_;
};

/// Where a vjp hands its results.
class GradSink {
 public:
  /// Whether input i of the op wants a gradient; a vjp computes no other.
  bool needs(int i) const;
  /// The gradient of input i. Throws Error when its shape, layout or dtype is not the input's.
  void give(int i, Tensor gradient);

 private:
  friend class Tape;
  GradSink(Tape& tape, int32_t node) : tape_(tape), node_(node) {}
  Tape& tape_;
  int32_t node_;
};

/// Given dy, the gradient of a node's output, gives the gradients of its inputs. What it needs it has captured.
using Vjp = std::function<void(GradSink&, const Tensor& dy)>;

/// Where the time of steps goes: seconds by op, added up.
struct OpTime {
  int64_t calls = 0;
  double forward_seconds = 0, backward_seconds = 0;
};
using TapeProfile = std::map<std::string, OpTime>;

/// What a step does on the host besides what it asks its machine for: a recording of the step does it again.
struct HostPart {
  std::function<bool()> same;  ///< whether the step, done now, would ask the machine for the same
  std::function<void()> act;   ///< once a step
};

/// What a forward pass took for granted, and only numbers that the machine has computed can tell: values[i] <= most
/// of[i]. Both (n).
struct Assumption {
  Tensor values, of;
  double most = 1;
};

/// Whether all hold; a NaN never does. Waits for the machine.
bool hold(Backend& backend, std::span<const Assumption> assumptions);

struct TapeMode {
  bool record = false;    ///< keep what a backward pass needs
  bool training = false;  ///< layers use their training form (degree of the series, power iterations)
  /// What training rounds the factors of its series' products to, where a machine can.
  Precision precision = Precision::f32;
  bool check_finite = false;  ///< module graphs check every output and throw Error naming the layer
  bool fast =
      false;  ///< evaluation sums products as training does (SeriesProducts::fast) and may take a shorter
              ///< series: no bound of rounding errors holds for it, the function is the same within 1e-6 a layer
  bool many = false;  ///< many images will follow: what pays for many is done from the first on, and the function stays
                      ///< one and the same
  /// Module graphs keep activations at about this many places only and compute the others again in the backward pass;
  /// 0: all are kept.
  int segments = 0;
  bool keep_inputs = false;  ///< layers take nothing for granted: SeriesSave::output is as input
  bool again = false;   ///< this forward pass repeats one: running statistics and power iterations stay as they are
  bool frozen = false;  ///< parameters are constants: only gradients of inputs are computed (attacks)
  TapeProfile* profile = nullptr;  ///< the time of every op is added to it, the machine waited for after each
  std::vector<HostPart>* host_parts = nullptr;  ///< where a step is recorded: they go there, and are not done
};

/// One tape a step, used from one thread.
class Tape {
 public:
  Tape(Backend& backend, TapeMode mode) : backend_(backend), mode_(mode) { lap(nullptr, false); }
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  Backend& backend() const { return backend_; }
  const TapeMode& mode() const { return mode_; }

  /// Whether use(parameter) makes a leaf: a gradient is wanted.
  bool tracks(const Parameter& parameter) const { return mode_.record && !mode_.frozen && parameter.trainable; }

  /// Does it, or leaves it to whoever records.
  void on_host(HostPart part);
  /// To be true, lest gradients be wrong. Where it is not, the pass is to be done again with `again` and `keep_inputs`.
  void assume(Assumption assumption) { assumptions_.push_back(std::move(assumption)); }
  const std::vector<Assumption>& assumptions() const { return assumptions_; }
  /// Whether all assumptions hold, asked for once.
  bool holds();

  /// A constant, or a leaf whose gradient is asked for by grad() after backward().
  Var input(Tensor value, bool needs_grad = false);
  /// The parameter's value. The same parameter twice is the same leaf; its gradient goes to parameter.grad.
  Var use(Parameter& parameter);
  /// The output y of an op. Recorded only if the mode says so and an input is tracked. `op` names it in errors and must
  /// outlive the tape (a literal).
  Var record(const char* op, Tensor y, std::span<const Var* const> inputs, Vjp vjp);
  Var record(const char* op, Tensor y, std::initializer_list<const Var*> inputs, Vjp vjp) {
    return record(op, std::move(y), std::span(inputs.begin(), inputs.size()), std::move(vjp));
  }

  using OnGradient = std::function<void(Parameter&)>;

  /// d(loss): replays from `loss`, a tensor of one element, to the leaves. Throws Error where an assumption does not
  /// hold, unless the step is recorded, which asks later. Gradients add to parameter.grad where there
  /// is one already; `complete` hears of each when nothing on this tape will add to it or read its parameter any more.
  /// The tape is spent afterwards, but for grad().
  void backward(const Var& loss, const OnGradient& complete = {});
  /// The same from any output with a given gradient.
  void backward(const Var& output, Tensor gradient, const OnGradient& complete = {});
  /// Gradient of a leaf made by input(…, true); empty when the output does not depend on it.
  Tensor grad(const Var& leaf) const;

 private:
  friend class GradSink;
  struct Node {
    const char* op = "";
    std::vector<int32_t> inputs;  // -1: a constant
    Shape shape;
    DType dtype = DType::f32;
    Layout layout = Layout::row_major;
    Vjp vjp;
    Parameter* parameter = nullptr;
    bool leaf = false;
  };

  Var leaf(Tensor value, Parameter* parameter);
  /// With a profile: what has passed since the last lap belongs to the op (null: to none).
  void lap(const char* op, bool backward);

  Backend& backend_;
  TapeMode mode_;
  std::vector<Node> nodes_;
  std::vector<Tensor> grads_;
  std::unordered_map<const Parameter*, int32_t> leaves_;
  std::vector<Assumption> assumptions_;
  std::optional<bool> holds_;
  std::chrono::steady_clock::time_point lap_;
};

}  // namespace gsnet
