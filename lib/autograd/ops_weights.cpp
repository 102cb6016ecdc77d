// Parametrisations: what turns stored numbers into weights.
#include <fmt/format.h>

#include "autograd/ops.h"
#include "core/error.h"

namespace gsnet::ops {
namespace {

void check_square_batch(const char* op, const Shape& shape) {
  GSNET_CHECK(shape.rank() == 3 && shape[1] == shape[2],
              fmt::format("[{}] needs square matrices (B, m, m), got {}", op, to_string(shape)));
}

void check_kernel(const char* op, const Shape& k, int64_t groups) {
  GSNET_CHECK(k.rank() == 4 && groups >= 1 && k[0] == k[1] * groups && k[2] % 2 == 1 && k[3] % 2 == 1,
              fmt::format("[{}] needs a kernel (C, C/{}, odd, odd), got {}", op, groups, to_string(k)));
}

}  // namespace

Var matrix_exp(const Var& a) {
  Backend& backend = a.tape->backend();
  check_square_batch("matrix_exp", a.shape());
  Tensor e = backend.empty_like(a.value);
  backend.matrix_exp(a.value, e);
  return a.tape->record("matrix_exp", e, {&a}, [&backend, av = a.value](GradSink& sink, const Tensor& de) {
    Tensor da = backend.empty_like(av);
    backend.matrix_exp_backward(av, de, da);
    sink.give(0, da);
  });
}

Var cayley(const Var& a) {
  Backend& backend = a.tape->backend();
  check_square_batch("cayley", a.shape());
  Tensor q = backend.empty_like(a.value);
  backend.cayley(a.value, q);
  return a.tape->record("cayley", q, {&a}, [&backend, av = a.value, q](GradSink& sink, const Tensor& dq) {
    Tensor da = backend.empty_like(av);
    backend.cayley_backward(av, q, dq, da);
    sink.give(0, da);
  });
}

Var normalise_rows(const Var& w) {
  Backend& backend = w.tape->backend();
  GSNET_CHECK(w.shape().rank() == 2, fmt::format("[normalise_rows] needs a matrix, got {}", to_string(w.shape())));
  Tensor y = backend.empty_like(w.value);
  backend.normalise_rows(w.value, y);
  return w.tape->record("normalise_rows", y, {&w}, [&backend, wv = w.value](GradSink& sink, const Tensor& dy) {
    Tensor dw = backend.empty_like(wv);
    backend.normalise_rows_backward(wv, dy, dw);
    sink.give(0, dw);
  });
}

Var skew(const Var& w, int64_t groups, bool remade) {
  Backend& backend = w.tape->backend();
  check_kernel("skew", w.shape(), groups);
  const auto skew_part = [&backend, groups](const Tensor& of) {
    Tensor k = backend.empty_like(of);
    backend.skew(of, groups, k);
    return k;
  };
  Var k = w.tape->record("skew", skew_part(w.value), {&w},
                         [skew_part](GradSink& sink, const Tensor& dk) { sink.give(0, skew_part(dk)); });
  if (remade && k.tracked()) k.remake = [skew_part, kept = Kept(w)] { return skew_part(kept()); };
  return k;
}

Var gram_norm(const Var& k, int64_t groups) {
  Backend& backend = k.tape->backend();
  check_kernel("gram_norm", k.shape(), groups);
  Tensor s = backend.empty({groups});
  GramSaved saved;
  backend.gram_norm(k.value, groups, s, k.tracked() ? &saved : nullptr);
  return k.tape->record("gram_norm", s, {&k}, [&backend, kept = Kept(k), s, saved](GradSink& sink, const Tensor& ds) {
    const Tensor kv = kept();
    Tensor dk = backend.empty_like(kv);
    backend.gram_norm_backward(kv, s, saved, ds, dk);
    sink.give(0, dk);
  });
}

Var four_forms(const Var& k, int64_t groups, int iterations, FourForms& forms) {
  Backend& backend = k.tape->backend();
  check_kernel("four_forms", k.shape(), groups);
  Tensor s = backend.empty({groups}),
         smallest = Tensor::empty({groups}, DType::i32, Layout::row_major, backend.memory());
  backend.four_forms(k.value, groups, iterations, forms, s, smallest);
  FourForms then;
  if (k.tracked()) {  // the vectors move on with the next step
    for (size_t i = 0; i < 4; ++i) {
      then.u[i] = backend.empty_like(forms.u[i]);
      then.v[i] = backend.empty_like(forms.v[i]);
      backend.copy(forms.u[i], then.u[i]);
      backend.copy(forms.v[i], then.v[i]);
    }
  }
  return k.tape->record("four_forms", s, {&k},
                        [&backend, shape = k.shape(), then, smallest](GradSink& sink, const Tensor& ds) {
                          Tensor dk = backend.empty(shape);
                          backend.four_forms_backward(then, smallest, ds, dk);
                          sink.give(0, dk);
                        });
}

Var stretch(const Var& k, int64_t groups, const Tensor& v, Tensor& u) {
  Backend& backend = k.tape->backend();
  check_kernel("stretch", k.shape(), groups);
  GSNET_CHECK(v.shape().rank() == 3 && v.shape()[0] == k.shape()[0],
              fmt::format("[stretch] a kernel {} needs a vector ({}, H, W), got {}", to_string(k.shape()), k.shape()[0],
                          to_string(v.shape())));
  Tensor s = backend.empty({groups});
  backend.stretch(k.value, groups, v, u, s);
  Tensor before, after;
  if (k.tracked()) {  // the vectors move on with the next step
    before = backend.empty_like(v);
    after = backend.empty_like(u);
    backend.copy(v, before);
    backend.copy(u, after);
  }
  return k.tape->record("stretch", s, {&k},
                        [&backend, shape = k.shape(), before, after](GradSink& sink, const Tensor& ds) {
                          Tensor dk = backend.empty(shape);
                          backend.stretch_backward(before, after, ds, dk);
                          sink.give(0, dk);
                        });
}

Var scale_groups(const Var& k, const Var& s, double numerator, double epsilon) {
  Backend& backend = k.tape->backend();
  GSNET_CHECK(
      s.shape().rank() == 1 && s.shape()[0] >= 1 && k.shape()[0] % s.shape()[0] == 0,
      fmt::format("[scale_groups] {} scales do not divide a kernel {}", to_string(s.shape()), to_string(k.shape())));
  const auto scaled = [&backend, sv = s.value, numerator, epsilon](const Tensor& of) {
    Tensor y = backend.empty_like(of);
    backend.scale_groups(of, sv, numerator, epsilon, y);
    return y;
  };
  Var y = k.tape->record(
      "scale_groups", scaled(k.value), {&k, &s},
      [&backend, scaled, kept = Kept(k), sv = s.value, numerator, epsilon](GradSink& sink, const Tensor& dy) {
        Tensor ds = backend.empty_like(sv);
        backend.scale_groups_backward(kept(), sv, numerator, epsilon, dy, ds);
        sink.give(1, ds);
        sink.give(0, scaled(dy));
      });
  if (k.remake) y.remake = [scaled, kept = Kept(k)] { return scaled(kept()); };
  return y;
}

}  // namespace gsnet::ops
