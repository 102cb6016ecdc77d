#include "train/optimiser.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace gsnet {
namespace {

/// One group of a pair, copied to the host in double.
struct GroupOfPair {
  Tensor a, b;
  PairGradients plain;
};

/// Rows [group / groups] of a parameter or its gradient, as a matrix of `columns`.
Tensor group_of(const Tensor& all, int64_t group, int64_t groups, int64_t columns) {
  const int64_t rows = all.numel() / columns / groups;
  return all.view({rows * groups, columns}).rows(group * rows, rows);
}

Tensor on_host(Backend& backend, const Tensor& x) { return with_dtype(backend.download(x), DType::f64); }

/// A pair and its gradients on the host in double, as they are stored.
class HostPair {
 public:
  HostPair(Backend& backend, const LowRankPair& pair)
      : pair_(pair),
        a_(on_host(backend, pair.a->value)),
        b_(on_host(backend, pair.b->value)),
        da_(on_host(backend, pair.a->grad)),
        db_(on_host(backend, pair.b->grad)),
        rank_(a_.shape()[0] / pair.groups),
        columns_(a_.numel() / a_.shape()[0]) {}

  int64_t columns() const { return columns_; }
  GroupOfPair group(int64_t group) const {
    const int64_t g = pair_.groups;
    return {group_of(a_, group, g, columns_),
            group_of(b_, group, g, rank_),
            {group_of(da_, group, g, columns_), group_of(db_, group, g, rank_)}};
  }
  /// Takes the gradients' place.
  void put(int64_t group, const PairGradients& steps) {
    const GroupOfPair at = this->group(group);
    std::ranges::copy(steps.a.host<double>(), at.plain.a.data<double>());
    std::ranges::copy(steps.b.host<double>(), at.plain.b.data<double>());
  }
  const Tensor& da() const { return da_; }
  const Tensor& db() const { return db_; }

 private:
  const LowRankPair& pair_;
  Tensor a_, b_, da_, db_;
  int64_t rank_, columns_;
};

/// s B'g and s g A' for a gradient g (m, n) of the weight.
PairGradients pulled_back(const GroupOfPair& at, const double* g, double scale) {
  const int64_t r = at.a.shape()[0], n = at.a.shape()[1], m = at.b.shape()[0];
  PairGradients plain{Tensor::empty({r, n}, DType::f64), Tensor::empty({m, r}, DType::f64)};
  std::ranges::fill(plain.a.host<double>(), 0.0);
  const double *a = at.a.data<double>(), *b = at.b.data<double>();
  for (int64_t o = 0; o < m; ++o) {
    for (int64_t i = 0; i < r; ++i) {
      double sum = 0;
      for (int64_t c = 0; c < n; ++c) {
        plain.a.data<double>()[i * n + c] += scale * b[o * r + i] * g[o * n + c];
        sum += g[o * n + c] * a[i * n + c];
      }
      plain.b.data<double>()[o * r + i] = scale * sum;
    }
  }
  return plain;
}

}  // namespace

Optimiser::Optimiser(Backend& backend, const OptimiserSpec& spec, std::vector<NamedParameter> parameters,
                     std::vector<LowRankPair> pairs)
    : backend_(backend), spec_(spec), pace_(backend.empty({kPaceNumbers})) {
  GSNET_CHECK(std::isfinite(spec.rate) && spec.rate > 0, fmt::format("the rate must be positive, got {}", spec.rate));
  GSNET_CHECK(!spec.lora_pro || !pairs.empty(), "LoRA-Pro steps the pairs of a LoRA or DoRA: none is trained here");
  if (!spec.lora_pro) pairs.clear();
  for (const LowRankPair& pair : pairs) {
    const auto named = std::ranges::find(parameters, pair.a, &NamedParameter::parameter);
    GSNET_CHECK(named != parameters.end(), "a LoRA's pair is not among the parameters that are trained");
    PairSlot slot{pair, named->name, {}, {}};
    if (spec.kind == OptimiserKind::adamw) {
      const int64_t columns = pair.a->value.numel() / pair.a->value.shape()[0];
      slot.first = backend.empty({pair.b->value.shape()[0], columns});
      backend.fill(0, slot.first);
      slot.second = backend.empty_like(slot.first);
      backend.fill(0, slot.second);
    }
    pairs_.push_back(std::move(slot));
  }
  const auto is_paired = [&](const Parameter* one) {
    return std::ranges::any_of(pairs, [&](const LowRankPair& pair) { return pair.a == one || pair.b == one; });
  };
  for (NamedParameter& named : parameters) {
    if (!named.parameter->trainable) continue;
    if (spec.kind == OptimiserKind::adamw && is_paired(named.parameter)) continue;
    Slot slot{std::move(named), {}, {}};
    slot.first = backend.empty_like(slot.named.parameter->value);
    backend.fill(0, slot.first);
    if (spec.kind == OptimiserKind::adamw) {
      slot.second = backend.empty_like(slot.first);
      backend.fill(0, slot.second);
    }
    if (!is_paired(slot.named.parameter)) slot_of_.emplace(slot.named.parameter, slots_.size());
    slots_.push_back(std::move(slot));
  }
}

void Optimiser::step(double factor) {
  begin(factor);
  finish();
}

void Optimiser::begin(double factor) {
  ++steps_;
  rate_ = spec_.rate * factor;
  std::vector<double> pace(kPaceNumbers, 1.0);
  pace[0] = rate_;
  if (spec_.kind == OptimiserKind::adamw) {
    pace[1] = 1 / (1 - std::pow(spec_.beta1, static_cast<double>(steps_)));
    pace[2] = 1 / std::sqrt(1 - std::pow(spec_.beta2, static_cast<double>(steps_)));
  }
  backend_.assign(Tensor::of<double>({kPaceNumbers}, pace), pace_);
}

void Optimiser::update(Parameter& parameter) {
  const auto found = slot_of_.find(&parameter);
  if (found != slot_of_.end()) update(slots_[found->second]);
}

void Optimiser::finish() {
  for (PairSlot& slot : pairs_) {
    if (!slot.pair.a->grad || !slot.pair.b->grad) continue;
    if (spec_.kind == OptimiserKind::sgd) {
      correct(slot.pair);
    } else {
      step_pair(slot, rate_);
    }
  }
  for (Slot& slot : slots_) update(slot);
}

void Optimiser::update(Slot& slot) {
  Parameter& parameter = *slot.named.parameter;
  if (!parameter.grad) return;
  const double factor = parameter.scale_invariant ? spec_.kernel_rate_factor : 1;
  const double decay = parameter.decay ? spec_.weight_decay : 0;
  if (spec_.kind == OptimiserKind::sgd) {
    const SgdSpec sgd{factor, spec_.momentum, decay, spec_.nesterov};
    backend_.sgd_step(sgd, pace_, parameter.grad, parameter.value, slot.first);
  } else {
    const AdamWSpec adamw{factor, spec_.beta1, spec_.beta2, spec_.epsilon, decay};
    backend_.adamw_step(adamw, pace_, parameter.grad, parameter.value, slot.first, slot.second);
  }
  parameter.grad = {};
  parameter.changed();
}

void Optimiser::correct(const LowRankPair& pair) {
  HostPair host(backend_, pair);
  for (int64_t group = 0; group < pair.groups; ++group) {
    const GroupOfPair at = host.group(group);
    host.put(group, lora_pro_gradients(at.a, at.b, at.plain, pair.scale));
  }
  pair.a->grad = backend_.upload(host.da());
  pair.b->grad = backend_.upload(host.db());
}

// The gradient that Adam sees is the nearest to the weight's that a pair can say; what Adam makes of it is brought back
// to the pair the same way.
void Optimiser::step_pair(PairSlot& slot, double rate) {
  const LowRankPair& pair = slot.pair;
  HostPair host(backend_, pair);
  const int64_t block = slot.first.numel() / pair.groups;
  Tensor first = on_host(backend_, slot.first), second = on_host(backend_, slot.second);
  const double unbias1 = 1 - std::pow(spec_.beta1, static_cast<double>(steps_));
  const double unbias2 = std::sqrt(1 - std::pow(spec_.beta2, static_cast<double>(steps_)));
  for (int64_t group = 0; group < pair.groups; ++group) {
    const GroupOfPair at = host.group(group);
    const PairGradients corrected = lora_pro_gradients(at.a, at.b, at.plain, pair.scale);
    Tensor g = equivalent_gradient(at.a, at.b, corrected, pair.scale);
    double *m = first.data<double>() + group * block, *v = second.data<double>() + group * block;
    for (int64_t i = 0; i < block; ++i) {
      double& value = g.data<double>()[i];
      m[i] = spec_.beta1 * m[i] + (1 - spec_.beta1) * value;
      v[i] = spec_.beta2 * v[i] + (1 - spec_.beta2) * value * value;
      value = m[i] / unbias1 / (std::sqrt(v[i]) / unbias2 + spec_.epsilon);
    }
    const PairGradients pulled = pulled_back(at, g.data<double>(), pair.scale);
    host.put(group, lora_pro_gradients(at.a, at.b, pulled, pair.scale));
  }
  slot.first = backend_.upload(first);
  slot.second = backend_.upload(second);
  const double decay = pair.a->decay && pair.b->decay ? spec_.weight_decay : 0;
  const double kept = std::sqrt(std::max(0.0, 1 - decay * rate));
  for (const auto& [parameter, step] : {std::pair{pair.a, &host.da()}, std::pair{pair.b, &host.db()}}) {
    Tensor moved = backend_.empty_like(parameter->value);
    backend_.axpby(kept, parameter->value, -rate, backend_.upload(*step), moved);
    parameter->value = moved;
    parameter->grad = {};
    parameter->changed();
  }
}

std::vector<NamedTensor> Optimiser::state() {
  std::vector<NamedTensor> tensors;
  for (Slot& slot : slots_) {
    const bool sgd = spec_.kind == OptimiserKind::sgd;
    tensors.push_back({slot.named.name + (sgd ? "/momentum" : "/first"), &slot.first});
    if (!sgd) tensors.push_back({slot.named.name + "/second", &slot.second});
  }
  for (PairSlot& slot : pairs_) {
    if (!slot.first) continue;
    tensors.push_back({slot.name + "/pair_first", &slot.first});
    tensors.push_back({slot.name + "/pair_second", &slot.second});
  }
  return tensors;
}

}  // namespace gsnet
