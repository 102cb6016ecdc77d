// What adapters make weights with.
#include <fmt/format.h>

#include "autograd/ops.h"
#include "core/error.h"

namespace gsnet::ops {

Var rotate(const Var& x, const Var& q, const RotationSpec& spec) {
  Backend& backend = x.tape->backend();
  GSNET_CHECK(x.value.layout() == Layout::row_major, "[rotate] needs a row-major tensor");
  spec.outer(x.shape(), q.shape());
  Tensor y = backend.empty_like(x.value);
  backend.rotate(spec, x.value, q.value, y);
  return x.tape->record("rotate", y, {&x, &q},
                        [&backend, spec, xv = x.value, qv = q.value](GradSink& sink, const Tensor& dy) {
                          if (sink.needs(0)) {
                            RotationSpec adjoint = spec;
                            adjoint.transpose = !spec.transpose;
                            Tensor dx = backend.empty_like(dy);
                            backend.rotate(adjoint, dy, qv, dx);
                            sink.give(0, dx);
                          }
                          if (!sink.needs(1)) return;
                          Tensor dq = backend.empty_like(qv);
                          backend.rotate_backward(spec, xv, dy, dq);
                          sink.give(1, dq);
                        });
}

Var skew_from_triangle(const Var& v, int64_t block) {
  Backend& backend = v.tape->backend();
  GSNET_CHECK(v.shape().rank() == 2 && block >= 1 && v.shape()[1] == block * (block - 1) / 2,
              fmt::format("[skew_from_triangle] blocks of {} need triangles (B, {}), got {}", block,
                          block * (block - 1) / 2, to_string(v.shape())));
  Tensor k = backend.empty({v.shape()[0], block, block});
  backend.skew_from_triangle(v.value, k);
  return v.tape->record("skew_from_triangle", k, {&v}, [&backend, vs = v.shape()](GradSink& sink, const Tensor& dk) {
    Tensor dv = backend.empty(vs);
    backend.skew_from_triangle_backward(dk, dv);
    sink.give(0, dv);
  });
}

Var scale_rows(const Var& x, const Var& s) {
  Backend& backend = x.tape->backend();
  GSNET_CHECK(x.value.layout() == Layout::row_major && x.shape().rank() >= 1 && s.shape() == Shape{x.shape()[0]},
              fmt::format("[scale_rows] {} needs a scale ({}), got {}", to_string(x.shape()),
                          x.shape().rank() >= 1 ? x.shape()[0] : 0, to_string(s.shape())));
  Tensor y = backend.empty_like(x.value);
  backend.scale_rows(x.value, s.value, y);
  return x.tape->record("scale_rows", y, {&x, &s},
                        [&backend, xv = x.value, sv = s.value](GradSink& sink, const Tensor& dy) {
                          if (sink.needs(0)) {
                            Tensor dx = backend.empty_like(dy);
                            backend.scale_rows(dy, sv, dx);
                            sink.give(0, dx);
                          }
                          if (!sink.needs(1)) return;
                          Tensor ds = backend.empty_like(sv);
                          backend.scale_rows_backward(xv, dy, ds);
                          sink.give(1, ds);
                        });
}

}  // namespace gsnet::ops
