#include "autograd/tape.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace gsnet {

void HandedBack::promise() {
  if (std::exchange(promised_, true)) return;
  let_go_();
}

Tensor HandedBack::take() {
  GSNET_CHECK(
      value_,
      "[backward] a value was not kept, and what would have made it again led nowhere: save = \"output\" asks of "
      "every layer that it is read on the way to the loss");
  return std::exchange(value_, Tensor());
}

void Tape::lap(const char* op, bool backward) {
  if (mode_.profile == nullptr) return;
  backend_.synchronise();
  const auto now = std::chrono::steady_clock::now();
  if (op != nullptr) {
    OpTime& time = (*mode_.profile)[op];
    time.calls += backward ? 0 : 1;
    (backward ? time.backward_seconds : time.forward_seconds) += std::chrono::duration<double>(now - lap_).count();
  }
  lap_ = now;
}

bool hold(Backend& backend, std::span<const Assumption> assumptions) {
  return std::ranges::all_of(assumptions, [&](const Assumption& one) {
    const Tensor values = with_dtype(backend.download(one.values), DType::f64);
    const Tensor of = with_dtype(backend.download(one.of), DType::f64);
    return std::ranges::equal(values.host<double>(), of.host<double>(),
                              [&](double value, double limit) { return value <= one.most * limit; });
  });
}

bool Tape::holds() {
  if (!holds_) holds_ = hold(backend_, assumptions_);
  return *holds_;
}

void Tape::on_host(HostPart part) {
  if (mode_.host_parts != nullptr) {
    mode_.host_parts->push_back(std::move(part));
  } else {
    part.act();
  }
}

Var Tape::leaf(Tensor value, Parameter* parameter) {
  Node node;
  node.op = "leaf";
  node.shape = value.shape();
  node.dtype = value.dtype();
  node.layout = value.layout();
  node.parameter = parameter;
  node.leaf = true;
  nodes_.push_back(std::move(node));
  return {std::move(value), this, static_cast<int32_t>(nodes_.size()) - 1};
}

Var Tape::input(Tensor value, bool needs_grad) {
  if (!needs_grad || !mode_.record) return {std::move(value), this, -1};
  return leaf(std::move(value), nullptr);
}

Var Tape::use(Parameter& parameter) {
  if (!tracks(parameter)) return {parameter.value, this, -1};
  const auto found = leaves_.find(&parameter);
  if (found != leaves_.end()) return {parameter.value, this, found->second};
  Var made = leaf(parameter.value, &parameter);
  leaves_.emplace(&parameter, made.id);
  return made;
}

Var Tape::record(const char* op, Tensor y, std::span<const Var* const> inputs, Vjp vjp) {
  lap(op, false);
  bool tracked = false;
  for (const Var* input : inputs) tracked = tracked || input->tracked();
  if (!tracked || !mode_.record) return {std::move(y), this, -1};
  Node node;
  node.op = op;
  for (const Var* input : inputs) node.inputs.push_back(input->id);
  node.shape = y.shape();
  node.dtype = y.dtype();
  node.layout = y.layout();
  node.vjp = std::move(vjp);
  nodes_.push_back(std::move(node));
  return {std::move(y), this, static_cast<int32_t>(nodes_.size()) - 1};
}

bool GradSink::needs(int i) const {
  return tape_.nodes_[static_cast<size_t>(node_)].inputs[static_cast<size_t>(i)] >= 0;
}

void GradSink::give(int i, Tensor gradient) {
  const Tape::Node& node = tape_.nodes_[static_cast<size_t>(node_)];
  const int32_t input = node.inputs[static_cast<size_t>(i)];
  if (input < 0) return;
  const Tape::Node& to = tape_.nodes_[static_cast<size_t>(input)];
  GSNET_CHECK(
      gradient.shape() == to.shape && gradient.dtype() == to.dtype && gradient.layout() == to.layout,
      fmt::format("[{}] made a gradient {} {} for input {}, a {} {} made by {}", node.op, to_string(gradient.dtype()),
                  to_string(gradient.shape()), i, to_string(to.dtype), to_string(to.shape), to.op));
  Tensor& kept = tape_.grads_[static_cast<size_t>(input)];
  if (!kept) {
    kept = std::move(gradient);
    return;
  }
  if (kept.is_only_handle()) {  // a vjp may have handed the same tensor to two inputs
    tape_.backend_.binary(BinaryOp::add, kept, gradient, kept);
    return;
  }
  Tensor sum = tape_.backend_.empty_like(kept);
  tape_.backend_.binary(BinaryOp::add, kept, gradient, sum);
  kept = std::move(sum);
}

void Tape::backward(const Var& loss, const OnGradient& complete) {
  GSNET_CHECK(loss.value.numel() == 1,
              fmt::format("[backward] starts at a loss of one element, got {}", to_string(loss.shape())));
  Tensor one = backend_.empty_like(loss.value);
  backend_.fill(1, one);
  backward(loss, std::move(one), complete);
}

void Tape::backward(const Var& output, Tensor gradient, const OnGradient& complete) {
  GSNET_CHECK(output.tracked(), "[backward] the output depends on nothing that wants a gradient");
  GSNET_CHECK(
      mode_.host_parts != nullptr || holds(),
      "[backward] the norm of a layer's J has moved so far that its input cannot be made again from its output: "
      "do the forward pass again with TapeMode::keep_inputs, take smaller steps, or keep inputs");
  grads_.assign(nodes_.size(), Tensor());
  grads_[static_cast<size_t>(output.id)] = std::move(gradient);
  lap(nullptr, true);
  for (size_t i = static_cast<size_t>(output.id) + 1; i-- > 0;) {
    if (!grads_[i]) continue;
    if (nodes_[i].leaf) {
      Parameter* parameter = nodes_[i].parameter;
      if (parameter == nullptr) continue;
      if (parameter->grad) {
        backend_.binary(BinaryOp::add, parameter->grad, grads_[i], parameter->grad);
      } else {
        parameter->grad = grads_[i];
      }
      grads_[i] = {};
      if (complete) {
        complete(*parameter);
        lap("update", true);
      }
      continue;
    }
    GSNET_CHECK(nodes_[i].vjp != nullptr, "[backward] the tape was replayed before");
    GradSink sink(*this, static_cast<int32_t>(i));
    const Vjp vjp = std::move(nodes_[i].vjp);
    nodes_[i].vjp = nullptr;
    const Tensor dy = std::move(grads_[i]);
    grads_[i] = {};
    vjp(sink, dy);
    lap(nodes_[i].op, true);
  }
}

Tensor Tape::grad(const Var& leaf) const {
  return leaf.tracked() && static_cast<size_t>(leaf.id) < grads_.size() ? grads_[static_cast<size_t>(leaf.id)]
                                                                        : Tensor();
}

}  // namespace gsnet
