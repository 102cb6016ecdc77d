#include "adapters/low_rank.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops.h"
#include "core/error.h"
#include "layers/orthogonal/skew_weight.h"

namespace gsnet {

LowRankLink::LowRankLink(Backend& backend, std::string adapter, const AdapterSpec& spec, AdapterSite site,
                         const Tensor& base, RandomKey key)
    : AdapterLink(std::move(adapter), spec, std::move(site)) {
  const AdapterSite& at = this->site();
  const int64_t r = spec.rank, rows = at.outputs() / at.groups, columns = at.inputs() * at.taps();
  GSNET_CHECK(r <= std::min(rows, columns),
              fmt::format("a rank of {} is more than a {} x {} matrix has", r, rows, columns));
  const bool conv = at.weight.rank() == 4;
  const double range = 1 / std::sqrt(static_cast<double>(columns));
  const Shape a = conv ? Shape{at.groups * r, at.inputs(), at.weight[2], at.weight[3]} : Shape{r, at.inputs()};
  a_ = &keep("lora_A", draw_tensor(backend, key, a, [&](Random& random) { return random.uniform(-range, range); }));
  Tensor zero = backend.empty(conv ? Shape{at.outputs(), r, 1, 1} : Shape{at.outputs(), r});
  backend.fill(0, zero);
  b_ = &keep("lora_B", zero);
  a_->decay = b_->decay = true;
  if (spec.kind == AdapterKind::dora) magnitude_ = &keep("lora_magnitude_vector", lengths(backend, base));
}

Tensor LowRankLink::lengths(Backend& backend, const Tensor& w) {
  Tensor made = backend.empty({w.shape()[0]});
  backend.row_norms(w, made);
  return made;
}

Var LowRankLink::added(Tape& tape, const Var& w, double factor) {
  const AdapterSite& at = site();
  const int64_t g = at.groups, r = a_->value.shape()[0] / g, columns = at.inputs() * at.taps();
  const Var a = ops::reshape(tape.use(*a_), {g, r, columns});
  const Var b = ops::reshape(tape.use(*b_), {g, at.outputs() / g, r});
  const Var product = ops::reshape(ops::matmul(b, false, a, false), at.weight);
  return ops::add(w, ops::scale(product, factor));
}

Var LowRankLink::adapted(Tape& tape, const Var& w) {
  Var sum = added(tape, w, spec().low_rank_scale());
  if (magnitude_ == nullptr) return sum;
  Backend& backend = tape.backend();
  const Tensor length = lengths(backend, sum.value);
  Tensor inverse = backend.empty_like(length);
  backend.unary(UnaryOp::reciprocal, length, inverse);
  const Var factor = ops::binary(BinaryOp::multiply, tape.use(*magnitude_), tape.input(inverse));
  return ops::scale_rows(sum, factor);
}

Var LowRankLink::adapted_at(Tape& tape, const Var& w, double strength) {
  Var sum = added(tape, w, strength * spec().low_rank_scale());
  if (magnitude_ == nullptr) return sum;
  Backend& backend = tape.backend();
  const Tensor base = lengths(backend, w.value), length = lengths(backend, sum.value);
  Tensor wanted = backend.empty_like(base), inverse = backend.empty_like(base), factor = backend.empty_like(base);
  backend.axpby(strength, magnitude_->value, 1 - strength, base, wanted);
  backend.unary(UnaryOp::reciprocal, length, inverse);
  backend.binary(BinaryOp::multiply, wanted, inverse, factor);
  return ops::scale_rows(sum, tape.input(factor));
}

// The sum of products is the product of A's rows put under each other and B's columns beside each other.
void LowRankLink::combine(Backend& backend, const std::vector<Term>& terms) {
  GSNET_CHECK(spec().kind == AdapterKind::lora,
              fmt::format("layer '{}': {} adapters have no weighted sum", site().layer, to_string(spec().kind)));
  const int64_t g = site().groups, rank = spec().rank, outputs = site().outputs(),
                columns = site().inputs() * site().taps();
  const Tensor a = Tensor::empty(a_->value.shape(), DType::f64), b = Tensor::empty(b_->value.shape(), DType::f64);
  int64_t first = 0;
  for (const auto& [link, weight] : terms) {
    const auto* other = dynamic_cast<const LowRankLink*>(link);
    const int64_t r = other == nullptr ? rank + 1 : other->spec().rank;
    GSNET_CHECK(other != nullptr && other->spec().kind == AdapterKind::lora && first + r <= rank,
                fmt::format("layer '{}': a sum of {} adapters is one of their ranks' sum", site().layer,
                            to_string(spec().kind)));
    const Tensor their_a = with_dtype(backend.download(other->a_->value), DType::f64);
    const Tensor their_b = with_dtype(backend.download(other->b_->value), DType::f64);
    const double factor = weight * other->spec().low_rank_scale() / spec().low_rank_scale();
    for (int64_t group = 0; group < g; ++group) {
      std::copy_n(their_a.data<double>() + group * r * columns, r * columns,
                  a.data<double>() + (group * rank + first) * columns);
    }
    for (int64_t o = 0; o < outputs; ++o) {
      for (int64_t i = 0; i < r; ++i) {
        b.data<double>()[o * rank + first + i] = factor * their_b.data<double>()[o * r + i];
      }
    }
    first += r;
  }
  GSNET_CHECK(first == rank,
              fmt::format("layer '{}': the terms' ranks add up to {}, not {}", site().layer, first, rank));
  a_->value = backend.upload(a);
  b_->value = backend.upload(b);
  a_->changed();
  b_->changed();
}

LinkReport LowRankLink::report() const {
  const AdapterSite& at = site();
  const int64_t r = spec().rank, rows = at.outputs() / at.groups, columns = at.inputs() * at.taps();
  LinkReport report;
  report.stored = a_->value.numel() + b_->value.numel() + (magnitude_ != nullptr ? magnitude_->value.numel() : 0);
  report.free = at.groups * r * (rows + columns - r) + (magnitude_ != nullptr ? at.outputs() : 0);
  report.shape = fmt::format("rank {}{}", r, at.groups > 1 ? fmt::format(", {} groups", at.groups) : "");
  if (report.stored >= at.weight.numel()) report.note = "as many numbers as the weight itself";
  return report;
}

}  // namespace gsnet
