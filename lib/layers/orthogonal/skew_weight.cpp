#include "layers/orthogonal/skew_weight.h"

#include <fmt/format.h>

#include <cmath>

#include "autograd/ops.h"

namespace gsnet {

Var SkewPart::apply(Tape&, const Var& w) { return ops::skew(w, groups_, remade_); }

Var GramScale::apply(Tape&, const Var& k) { return ops::scale_groups(k, ops::gram_norm(k, groups_), norm_, 1e-12); }

namespace {

constexpr int kInitialRounds = 50;
constexpr int64_t kRefreshEvery = 200;

/// Rounds beyond a scale's own that tell whether it follows its kernel, and how much more they may find.
constexpr int kWatchRounds = 2;
constexpr double kWatchMost = 1.1;

bool watches(const Tape& tape, const Var& k) {
  return tape.mode().record && tape.mode().training && !tape.mode().keep_inputs && k.tracked();
}

/// A row a group, each of unit length.
Tensor unit_rows(Backend& backend, RandomKey key, int64_t groups, int64_t size) {
  const Tensor rows = draw_tensor(backend, key, {groups, size}, [](Random& random) { return random.normal(); });
  Tensor unit = backend.empty_like(rows);
  backend.normalise_rows(rows, unit);
  return unit;
}

}  // namespace

StretchScale::StretchScale(Backend& backend, RandomKey key, int64_t groups, const Tensor& stored, const Shape& map,
                           double norm, bool watched)
    : groups_(groups), norm_(norm), watched_(watched) {
  const int64_t channels = stored.shape()[0];
  next_ = unit_rows(backend, key, groups, channels / groups * map[0] * map[1]).view({channels, map[0], map[1]});
  last_ = backend.empty_like(next_);
  Tensor k = backend.empty_like(stored), s = backend.empty({groups});
  backend.skew(stored, groups, k);
  for (int round = 0; round < kInitialRounds; ++round) {
    backend.copy(next_, last_);
    backend.stretch(k, groups, last_, next_, s);
  }
}

Var StretchScale::apply(Tape& tape, const Var& k) {
  const bool turns = tape.mode().training && !tape.mode().again;
  if (turns) tape.backend().copy(next_, last_);
  Tensor after = turns ? next_ : tape.backend().empty_like(next_);
  const Var s = ops::stretch(k, groups_, tape.mode().training ? last_ : next_, after);
  if (watched_ && watches(tape, k)) watch(tape, k, after, s.value);
  return ops::scale_groups(k, s, norm_, 1e-12);
}

void StretchScale::watch(Tape& tape, const Var& k, const Tensor& from, const Tensor& s) const {
  Backend& backend = tape.backend();
  Tensor at = from, further = backend.empty_like(s);
  for (int round = 0; round < kWatchRounds; ++round) {
    Tensor next = backend.empty_like(at);
    backend.stretch(k.value, groups_, at, next, further);
    at = next;
  }
  tape.assume({.values = further, .of = s, .most = kWatchMost});
}

void StretchScale::visit(const std::string& path, Visitor& visitor) { visitor.buffer(path + "_vector", next_); }

FourFormsScale::FourFormsScale(Backend& backend, RandomKey key, int64_t groups, const Tensor& stored, double correction,
                               bool watched)
    : groups_(groups), watched_(watched) {
  const Shape& kernel = stored.shape();
  const int64_t m = kernel[1], high = kernel[2], wide = kernel[3];
  const std::array<int64_t, 4> us = {m * wide, m * high, m * high * wide, m * high * wide};
  const std::array<int64_t, 4> vs = {m * high, m * wide, m, m};
  for (size_t i = 0; i < 4; ++i) {
    forms_.u[i] = unit_rows(backend, key.with(2 * i), groups, us[i]);
    forms_.v[i] = unit_rows(backend, key.with(2 * i + 1), groups, vs[i]);
  }
  Tensor k = backend.empty_like(stored), sigma = backend.empty({groups});
  Tensor smallest = Tensor::empty({groups}, DType::i32, Layout::row_major, backend.memory());
  backend.skew(stored, groups, k);
  backend.four_forms(k, groups, kInitialRounds, forms_, sigma, smallest);
  correction_ = backend.empty({1});
  backend.fill(correction, correction_);
  steps_ = Tensor::of<int64_t>({1}, {0});
}

int FourFormsScale::rounds() const { return steps_.data<int64_t>()[0] % kRefreshEvery == 0 ? kInitialRounds : 1; }

double FourFormsScale::correction(Backend& backend) {
  if (!read_.shares_storage_with(correction_)) {
    read_correction_ = with_dtype(backend.download(correction_), DType::f64).data<double>()[0];
    read_ = correction_;
  }
  return read_correction_;
}

Var FourFormsScale::apply(Tape& tape, const Var& k) {
  int now = 0;
  if (tape.mode().training && !tape.mode().again) {
    now = rounds();
    tape.on_host({.same = [this, now] { return rounds() == now; }, .act = [this] { ++steps_.data<int64_t>()[0]; }});
  }
  const Var sigma = ops::four_forms(k, groups_, now, forms_);
  if (watched_ && watches(tape, k)) watch(tape, k, sigma.value);
  return ops::scale_groups(k, sigma, correction(tape.backend()), 1e-12);
}

void FourFormsScale::watch(Tape& tape, const Var& k, const Tensor& s) const {
  Backend& backend = tape.backend();
  FourForms forms;
  for (size_t i = 0; i < 4; ++i) {
    forms.u[i] = backend.empty_like(forms_.u[i]);
    forms.v[i] = backend.empty_like(forms_.v[i]);
    backend.copy(forms_.u[i], forms.u[i]);
    backend.copy(forms_.v[i], forms.v[i]);
  }
  Tensor further = backend.empty_like(s);
  Tensor smallest = Tensor::empty({groups_}, DType::i32, Layout::row_major, backend.memory());
  backend.four_forms(k.value, groups_, kWatchRounds, forms, further, smallest);
  tape.assume({.values = further, .of = s, .most = kWatchMost});
}

void FourFormsScale::visit(const std::string& path, Visitor& visitor) {
  for (size_t i = 0; i < 4; ++i) {
    const size_t number = i + 1;
    visitor.buffer(fmt::format("{}_u{}", path, number), forms_.u[i]);
    visitor.buffer(fmt::format("{}_v{}", path, number), forms_.v[i]);
  }
  visitor.buffer(path + "_correction", correction_);
  visitor.buffer(path + "_steps", steps_);
}

Weight make_skew_weight(Backend& backend, RandomKey key, int64_t groups, const Shape& kernel, const Shape& map,
                        ScaleKind scale, double norm, bool remade, bool watched) {
  Weight weight;
  const double deviation = 1 / std::sqrt(static_cast<double>(kernel[1]));
  weight.stored.value =
      draw_tensor(backend, key.with(0), kernel, [&](Random& random) { return deviation * random.normal(); });
  weight.stored.scale_invariant = true;
  weight.push(std::make_unique<SkewPart>(groups, remade));
  if (scale == ScaleKind::gram) {
    weight.push(std::make_unique<GramScale>(groups, norm));
  } else if (scale == ScaleKind::stretch) {
    weight.push(std::make_unique<StretchScale>(backend, key.with(1), groups, weight.stored.value, map, norm, watched));
  } else {
    weight.push(std::make_unique<FourFormsScale>(backend, key.with(1), groups, weight.stored.value, norm, watched));
  }
  return weight;
}

}  // namespace gsnet
