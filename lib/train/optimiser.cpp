#include "train/optimiser.h"

#include <fmt/format.h>

#include <cmath>

#include "core/error.h"

namespace gsnet {

Optimiser::Optimiser(Backend& backend, const OptimiserSpec& spec, std::vector<NamedParameter> parameters)
    : backend_(backend), spec_(spec) {
  GSNET_CHECK(std::isfinite(spec.rate) && spec.rate > 0, fmt::format("the rate must be positive, got {}", spec.rate));
  for (NamedParameter& named : parameters) {
    if (!named.parameter->trainable) continue;
    Slot slot{std::move(named), {}, {}};
    slot.first = backend.empty_like(slot.named.parameter->value);
    backend.fill(0, slot.first);
    if (spec.kind == OptimiserKind::adamw) {
      slot.second = backend.empty_like(slot.first);
      backend.fill(0, slot.second);
    }
    slots_.push_back(std::move(slot));
  }
}

void Optimiser::step(double factor) {
  ++steps_;
  for (Slot& slot : slots_) {
    Parameter& parameter = *slot.named.parameter;
    if (!parameter.grad) continue;
    const double rate = spec_.rate * factor * (parameter.scale_invariant ? spec_.kernel_rate_factor : 1);
    const double decay = parameter.decay ? spec_.weight_decay : 0;
    if (spec_.kind == OptimiserKind::sgd) {
      const SgdSpec sgd{rate, spec_.momentum, decay, spec_.nesterov};
      backend_.sgd_step(sgd, parameter.grad, parameter.value, slot.first);
    } else {
      const AdamWSpec adamw{rate, spec_.beta1, spec_.beta2, spec_.epsilon, decay, steps_};
      backend_.adamw_step(adamw, parameter.grad, parameter.value, slot.first, slot.second);
    }
    parameter.grad = {};
    parameter.changed();
  }
}

std::vector<NamedTensor> Optimiser::state() {
  std::vector<NamedTensor> tensors;
  for (Slot& slot : slots_) {
    const bool sgd = spec_.kind == OptimiserKind::sgd;
    tensors.push_back({slot.named.name + (sgd ? "/momentum" : "/first"), &slot.first});
    if (!sgd) tensors.push_back({slot.named.name + "/second", &slot.second});
  }
  return tensors;
}

}  // namespace gsnet
