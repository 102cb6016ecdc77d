#include "adapters/rotation_link.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "autograd/ops.h"
#include "core/error.h"

namespace gsnet {
namespace {

/// The largest block that fits, at most `wanted`: a divisor of n, or for butterflies an even one that leaves a multiple
/// of 2^(factors - 1) blocks. 0: none above 1.
int64_t fitting_block(int64_t n, const AdapterSpec& spec) {
  for (int64_t block = std::min(n, spec.block); block > 1; --block) {
    if (n % block != 0) continue;
    if (spec.kind != AdapterKind::boft || spec.factors == 1) return block;
    if (block % 2 == 0 && n % (block << (spec.factors - 1)) == 0) return block;
  }
  return 0;
}

}  // namespace

int64_t reach(const std::vector<BlockPattern>& patterns) {
  const int64_t n = patterns.front().size();
  int64_t least = n;
  for (int64_t start = 0; start < n; ++start) {
    std::vector<bool> reached(static_cast<size_t>(n), false);
    reached[static_cast<size_t>(start)] = true;
    for (const BlockPattern& pattern : patterns) {
      const auto order = pattern.order();
      for (int64_t j = 0; j < pattern.blocks(); ++j) {
        const auto places =
            order.subspan(static_cast<size_t>(j * pattern.block()), static_cast<size_t>(pattern.block()));
        const auto is_reached = [&](int32_t place) { return reached[static_cast<size_t>(place)]; };
        if (std::ranges::none_of(places, is_reached)) continue;
        for (const int32_t place : places) reached[static_cast<size_t>(place)] = true;
      }
    }
    least = std::min(least, static_cast<int64_t>(std::ranges::count(reached, true)));
  }
  return least;
}

RotationLink::RotationLink(Backend& backend, std::string adapter, const AdapterSpec& spec, AdapterSite site)
    : AdapterLink(std::move(adapter), spec, std::move(site)) {
  const AdapterSite& at = this->site();
  const bool channel = spec.form == RotationForm::channel;
  const int64_t n = channel ? at.inputs() : at.inputs() * at.taps(), inner = channel ? at.taps() : 1;
  GSNET_CHECK(n > 1, "every filter sees one channel: there is nothing to turn");
  const BlockPattern trivial = BlockPattern::shuffled(1, 1, 0);
  add_side(backend, "in", {.pattern = trivial, .groups = at.groups, .inner = inner, .transpose = true}, n);
  if (spec.kind == AdapterKind::double_gsoft) {
    GSNET_CHECK(at.outputs() > at.groups, "every group has one output: there is nothing to turn");
    add_side(backend, "out", {.pattern = trivial, .groups = at.groups, .inner = at.inputs() * at.taps()},
             at.outputs() / at.groups);
  }
  if (!spec.scale) return;
  Tensor ones = backend.empty({at.outputs()});
  backend.fill(1, ones);
  scale_ = &keep("scale", ones);
}

std::vector<BlockPattern> RotationLink::patterns(int64_t n) const {
  const int64_t block = fitting_block(n, spec());
  GSNET_CHECK(block > 1, spec().kind == AdapterKind::boft && spec().factors > 1
                             ? fmt::format("no even block of at most {} leaves a multiple of {} blocks of {} places",
                                           spec().block, int64_t{1} << (spec().factors - 1), n)
                             : fmt::format("no block of 2 … {} divides {} places", spec().block, n));
  if (spec().kind == AdapterKind::oft) return {BlockPattern::shuffled(spec().share ? block : n, block, 0)};
  std::vector<BlockPattern> made;
  const auto factors = static_cast<int>(spec().factors);
  made.reserve(static_cast<size_t>(factors));
  for (int i = 0; i < factors; ++i) {
    made.push_back(spec().kind == AdapterKind::boft ? BlockPattern::butterfly(n, block, i, factors)
                                                    : BlockPattern::shuffled(n, block, i));
  }
  return made;
}

// W Q with Q = Q_m … Q_1 meets Q_m first, U W meets U_1 first; a butterfly's W (B_m … B_1)' meets B_1' first.
void RotationLink::add_side(Backend& backend, const char* name, const RotationSpec& like, int64_t n) {
  std::vector<Factor> made;
  for (const BlockPattern& pattern : patterns(n)) {
    RotationSpec rotation = like;
    rotation.pattern = pattern;
    if (spec().share) rotation.groups = 1;
    const int64_t b = pattern.block();
    Tensor v = backend.empty({rotation.groups * pattern.blocks(), b * (b - 1) / 2});
    backend.fill(0, v);
    made.push_back({rotation, &keep(fmt::format("{}.{}", name, made.size()), v)});
  }
  if (like.transpose && spec().kind != AdapterKind::boft) std::ranges::reverse(made);
  factors_.insert(factors_.end(), made.begin(), made.end());
}

Var RotationLink::orthogonal(const Var& k) const {
  if (spec().map == OrthogonalMap::cayley) return ops::cayley(k);
  if (spec().map == OrthogonalMap::exp) return ops::matrix_exp(k);
  Backend& backend = k.tape->backend();
  const int64_t blocks = k.shape()[0], b = k.shape()[1];
  auto known = std::ranges::find(identities_, k.shape(), &Tensor::shape);
  if (known == identities_.end()) {
    Tensor identity = Tensor::empty(k.shape(), DType::f64);
    std::ranges::fill(identity.host<double>(), 0.0);
    for (int64_t i = 0; i < blocks * b; ++i) identity.data<double>()[i * b + i % b] = 1;
    known = identities_.insert(known, backend.upload(identity));
  }
  Var q = k.tape->input(*known);
  Var power = k;
  for (int64_t degree = 1; degree < spec().terms; ++degree) {
    if (degree > 1) power = ops::matmul(power, false, k, false);
    const bool last = degree + 1 == spec().terms && spec().terms > 2;
    q = ops::add(q, last ? power : ops::scale(power, 2));
  }
  return q;
}

// As PEFT does: the stored generator is pulled back, where it is, before it is used: times 1 / max(1, |.| / most).
void RotationLink::constrain(Tape& tape, Parameter& generator) const {
  Backend& backend = tape.backend();
  const int64_t blocks = generator.value.shape()[0];
  const double most = spec().constraint / std::sqrt(static_cast<double>(blocks));  // of a block's skew matrix
  const auto is_short = [&](double norm) { return norm * std::numbers::sqrt2 <= most * (1 + 1e-6); };
  // What was evaluated before stays of use where nothing changes; training asks nothing that the host must answer.
  if (!tape.mode().training && std::ranges::all_of(backend.sample_norms(generator.value), is_short)) return;
  Tensor factors = backend.empty({blocks});
  backend.row_norms(generator.value, factors);
  backend.scale(std::numbers::sqrt2 / most, factors, factors);
  backend.clip(1, std::numeric_limits<double>::infinity(), factors, factors);
  backend.unary(UnaryOp::reciprocal, factors, factors);
  backend.scale_rows(generator.value, factors, generator.value);
  generator.changed();
}

Var RotationLink::adapted(Tape& tape, const Var& w) {
  Var y = w;
  for (const Factor& factor : factors_) {
    if (spec().constraint > 0) constrain(tape, *factor.generator);
    const Var k = ops::skew_from_triangle(tape.use(*factor.generator), factor.rotation.pattern.block());
    y = ops::rotate(y, orthogonal(k), factor.rotation);
  }
  return scale_ != nullptr ? ops::scale_rows(y, tape.use(*scale_)) : y;
}

Var RotationLink::adapted_at(Tape& tape, const Var& w, double strength) {
  Backend& backend = tape.backend();
  Var y = w;
  for (const Factor& factor : factors_) {
    const Tensor v = backend.download(factor.generator->value);
    const Tensor q = geodesic(v, factor.rotation.pattern.block(), spec(), strength);
    y = ops::rotate(y, tape.input(backend.upload(q)), factor.rotation);
  }
  if (scale_ == nullptr) return y;
  Tensor ones = backend.empty_like(scale_->value), s = backend.empty_like(ones);
  backend.fill(1, ones);
  backend.axpby(strength, scale_->value, 1 - strength, ones, s);
  return ops::scale_rows(y, tape.input(s));
}

void RotationLink::combine(Backend& backend, const std::vector<Term>& terms) {
  for (const auto& [name, parameter] : parameters()) {
    double left = parameter == scale_ ? 1 : 0;  // of the neutral value, which is 1 for the scale
    for (const auto& [link, weight] : terms) left -= parameter == scale_ ? weight : 0;
    Tensor sum = backend.empty_like(parameter->value);
    backend.fill(left, sum);
    for (const auto& [link, weight] : terms) {
      const Parameter* theirs = link->find(name);
      GSNET_CHECK(link->spec() == spec() && theirs != nullptr && theirs->value.shape() == sum.shape(),
                  fmt::format("layer '{}': only rotations of one kind and shape have a sum", site().layer));
      Tensor next = backend.empty_like(sum);
      backend.axpby(1, sum, weight, theirs->value, next);
      sum = next;
    }
    parameter->value = sum;
    parameter->changed();
  }
}

LinkReport RotationLink::report() const {
  LinkReport report;
  std::vector<BlockPattern> inputs;
  for (const Factor& factor : factors_) {
    report.stored += factor.generator->value.numel();
    if (factor.rotation.transpose) inputs.push_back(factor.rotation.pattern);
  }
  if (scale_ != nullptr) report.stored += scale_->value.numel();
  report.free = report.stored;
  const BlockPattern& first = inputs.front();
  const int64_t n =
      spec().share ? site().inputs() * (spec().form == RotationForm::kernel ? site().taps() : 1) : first.size();
  report.shape =
      fmt::format("{} x {} blocks of {}{}", factors_.size(), spec().share ? n / first.block() : first.blocks(),
                  first.block(), site().groups > 1 ? fmt::format(", {} groups", site().groups) : "");
  if (first.block() != spec().block) report.note = fmt::format("blocks of {}, not {}", first.block(), spec().block);
  const int64_t reached = spec().share ? first.block() : reach(inputs);
  if (reached < n) {
    report.note += fmt::format("{}not dense: an input reaches {} of {}", report.note.empty() ? "" : "; ", reached, n);
  }
  return report;
}

}  // namespace gsnet
