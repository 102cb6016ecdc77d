// Every kernel, on both machines. Arguments say which tensors a kernel reads, writes, or changes in place.
#include "backend/check/check_backend.h"

namespace gsnet {

void CheckBackend::conv2d(const Tensor& x, const Tensor& w, const ConvEpilogue<Tensor>& after, const ConvSpec& spec,
                          Tensor& y) {
  both("conv2d", [&](Backend& on, Arguments& the) {
    const ConvEpilogue<Tensor> same{the.in(after.bias), the.in(after.addend), after.low, after.high};
    on.conv2d(the.in(x), the.in(w), same, spec, the.out(y));
  });
}

void CheckBackend::conv2d_dgrad(const Tensor& dy, const Tensor& w, const ConvSpec& spec, Tensor& dx) {
  both("conv2d_dgrad", [&](Backend& on, Arguments& the) { on.conv2d_dgrad(the.in(dy), the.in(w), spec, the.out(dx)); });
}

void CheckBackend::conv2d_wgrad(const Tensor& x, const Tensor& dy, const ConvSpec& spec, Tensor& dw) {
  both("conv2d_wgrad", [&](Backend& on, Arguments& the) { on.conv2d_wgrad(the.in(x), the.in(dy), spec, the.out(dw)); });
}

void CheckBackend::matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& y) {
  both("matmul",
       [&](Backend& on, Arguments& the) { on.matmul(the.in(a), transpose_a, the.in(b), transpose_b, the.out(y)); });
}

void CheckBackend::matrix_exp(const Tensor& a, Tensor& e) {
  both("matrix_exp", [&](Backend& on, Arguments& the) { on.matrix_exp(the.in(a), the.out(e)); });
}

void CheckBackend::matrix_exp_backward(const Tensor& a, const Tensor& de, Tensor& da) {
  both("matrix_exp_backward",
       [&](Backend& on, Arguments& the) { on.matrix_exp_backward(the.in(a), the.in(de), the.out(da)); });
}

void CheckBackend::cayley(const Tensor& a, Tensor& q) {
  both("cayley", [&](Backend& on, Arguments& the) { on.cayley(the.in(a), the.out(q)); });
}

void CheckBackend::cayley_backward(const Tensor& a, const Tensor& q, const Tensor& dq, Tensor& da) {
  both("cayley_backward",
       [&](Backend& on, Arguments& the) { on.cayley_backward(the.in(a), the.in(q), the.in(dq), the.out(da)); });
}

void CheckBackend::normalise_rows(const Tensor& w, Tensor& y) {
  both("normalise_rows", [&](Backend& on, Arguments& the) { on.normalise_rows(the.in(w), the.out(y)); });
}

void CheckBackend::row_norms(const Tensor& x, Tensor& y) {
  both("row_norms", [&](Backend& on, Arguments& the) { on.row_norms(the.in(x), the.out(y)); });
}

void CheckBackend::normalise_rows_backward(const Tensor& w, const Tensor& dy, Tensor& dw) {
  both("normalise_rows_backward",
       [&](Backend& on, Arguments& the) { on.normalise_rows_backward(the.in(w), the.in(dy), the.out(dw)); });
}

void CheckBackend::skew(const Tensor& w, int64_t groups, Tensor& k) {
  both("skew", [&](Backend& on, Arguments& the) { on.skew(the.in(w), groups, the.out(k)); });
}

void CheckBackend::gram_norm(const Tensor& k, int64_t groups, Tensor& s, GramSaved* saved) {
  both("gram_norm", [&](Backend& on, Arguments& the) {
    on.gram_norm(the.in(k), groups, the.out(s), &on == first_.get() ? saved : nullptr);
  });
}

void CheckBackend::gram_norm_backward(const Tensor& k, const Tensor& s, const GramSaved& saved, const Tensor& ds,
                                      Tensor& dk) {
  both("gram_norm_backward", [&](Backend& on, Arguments& the) {
    on.gram_norm_backward(the.in(k), the.in(s), &on == first_.get() ? saved : GramSaved{}, the.in(ds), the.out(dk));
  });
}

void CheckBackend::four_forms(const Tensor& k, int64_t groups, int iterations, FourForms& forms, Tensor& s,
                              Tensor& smallest) {
  both("four_forms", [&](Backend& on, Arguments& the) {
    on.four_forms(the.in(k), groups, iterations, the.in_out(forms), the.out(s), the.out(smallest));
  });
}

void CheckBackend::four_forms_backward(const FourForms& forms, const Tensor& smallest, const Tensor& ds, Tensor& dk) {
  both("four_forms_backward", [&](Backend& on, Arguments& the) {
    on.four_forms_backward(the.in(forms), the.in(smallest), the.in(ds), the.out(dk));
  });
}

void CheckBackend::stretch(const Tensor& k, int64_t groups, const Tensor& v, Tensor& u, Tensor& s) {
  both("stretch",
       [&](Backend& on, Arguments& the) { on.stretch(the.in(k), groups, the.in(v), the.out(u), the.out(s)); });
}

void CheckBackend::stretch_backward(const Tensor& v, const Tensor& u, const Tensor& ds, Tensor& dk) {
  both("stretch_backward",
       [&](Backend& on, Arguments& the) { on.stretch_backward(the.in(v), the.in(u), the.in(ds), the.out(dk)); });
}

void CheckBackend::scale_groups(const Tensor& k, const Tensor& s, double numerator, double epsilon, Tensor& y) {
  both("scale_groups",
       [&](Backend& on, Arguments& the) { on.scale_groups(the.in(k), the.in(s), numerator, epsilon, the.out(y)); });
}

void CheckBackend::scale_groups_backward(const Tensor& k, const Tensor& s, double numerator, double epsilon,
                                         const Tensor& dy, Tensor& ds) {
  both("scale_groups_backward", [&](Backend& on, Arguments& the) {
    on.scale_groups_backward(the.in(k), the.in(s), numerator, epsilon, the.in(dy), the.out(ds));
  });
}

void CheckBackend::fill(double value, Tensor& y) {
  both("fill", [&](Backend& on, Arguments& the) { on.fill(value, the.out(y)); });
}

void CheckBackend::copy(const Tensor& x, Tensor& y) {
  both("copy", [&](Backend& on, Arguments& the) { on.copy(the.in(x), the.out(y)); });
}

void CheckBackend::unary(UnaryOp op, const Tensor& x, Tensor& y) {
  both("unary", [&](Backend& on, Arguments& the) { on.unary(op, the.in(x), the.out(y)); });
}

void CheckBackend::unary_backward(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx) {
  both("unary_backward",
       [&](Backend& on, Arguments& the) { on.unary_backward(op, the.in(x), the.in(y), the.in(dy), the.out(dx)); });
}

void CheckBackend::binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) {
  both("binary", [&](Backend& on, Arguments& the) { on.binary(op, the.in(a), the.in(b), the.out(y)); });
}

void CheckBackend::axpby(double alpha, const Tensor& x, double beta, const Tensor& z, Tensor& y) {
  both("axpby", [&](Backend& on, Arguments& the) { on.axpby(alpha, the.in(x), beta, the.in(z), the.out(y)); });
}

void CheckBackend::scale(double alpha, const Tensor& x, Tensor& y) {
  both("scale", [&](Backend& on, Arguments& the) { on.scale(alpha, the.in(x), the.out(y)); });
}

void CheckBackend::add_bias(const Tensor& x, const Tensor& b, Tensor& y) {
  both("add_bias", [&](Backend& on, Arguments& the) { on.add_bias(the.in(x), the.in(b), the.out(y)); });
}

void CheckBackend::scale_channels(const Tensor& x, const Tensor& a, Tensor& y) {
  both("scale_channels", [&](Backend& on, Arguments& the) { on.scale_channels(the.in(x), the.in(a), the.out(y)); });
}

void CheckBackend::scale_shift(const Tensor& x, const Tensor& a, const Tensor& b, Tensor& y) {
  both("scale_shift",
       [&](Backend& on, Arguments& the) { on.scale_shift(the.in(x), the.in(a), the.in(b), the.out(y)); });
}

void CheckBackend::scale_maps(const Tensor& x, const Tensor& a, Tensor& y) {
  both("scale_maps", [&](Backend& on, Arguments& the) { on.scale_maps(the.in(x), the.in(a), the.out(y)); });
}

void CheckBackend::clip(double low, double high, const Tensor& x, Tensor& y) {
  both("clip", [&](Backend& on, Arguments& the) { on.clip(low, high, the.in(x), the.out(y)); });
}

void CheckBackend::clip_backward(double low, double high, const Tensor& x, const Tensor& dy, Tensor& dx) {
  both("clip_backward",
       [&](Backend& on, Arguments& the) { on.clip_backward(low, high, the.in(x), the.in(dy), the.out(dx)); });
}

void CheckBackend::prelu(const Tensor& x, const Tensor& slope, Tensor& y) {
  both("prelu", [&](Backend& on, Arguments& the) { on.prelu(the.in(x), the.in(slope), the.out(y)); });
}

void CheckBackend::prelu_backward(const Tensor& x, const Tensor& slope, const Tensor& dy, Tensor* dx, Tensor* dslope) {
  both("prelu_backward", [&](Backend& on, Arguments& the) {
    on.prelu_backward(the.in(x), the.in(slope), the.in(dy), the.out(dx), the.out(dslope));
  });
}

void CheckBackend::softmax(const Tensor& x, Tensor& y) {
  both("softmax", [&](Backend& on, Arguments& the) { on.softmax(the.in(x), the.out(y)); });
}

void CheckBackend::softmax_backward(const Tensor& y, const Tensor& dy, Tensor& dx) {
  both("softmax_backward",
       [&](Backend& on, Arguments& the) { on.softmax_backward(the.in(y), the.in(dy), the.out(dx)); });
}

void CheckBackend::maxmin(const MaxMinSpec& spec, const Tensor& x, Tensor& y) {
  both("maxmin", [&](Backend& on, Arguments& the) { on.maxmin(spec, the.in(x), the.out(y)); });
}

void CheckBackend::maxmin_backward(const MaxMinSpec& spec, const Tensor& x, const Tensor& dy, Tensor& dx) {
  both("maxmin_backward",
       [&](Backend& on, Arguments& the) { on.maxmin_backward(spec, the.in(x), the.in(dy), the.out(dx)); });
}

void CheckBackend::maxmin_order(const MaxMinSpec& spec, const Tensor& x, Tensor& order) {
  both("maxmin_order", [&](Backend& on, Arguments& the) { on.maxmin_order(spec, the.in(x), the.out(order)); });
}

void CheckBackend::exchange_pairs(Pairing pairing, const Tensor& order, const Tensor& x, Tensor& y) {
  both("exchange_pairs",
       [&](Backend& on, Arguments& the) { on.exchange_pairs(pairing, the.in(order), the.in(x), the.out(y)); });
}

void CheckBackend::group_sort(int64_t size, const Tensor& x, Tensor& y) {
  both("group_sort", [&](Backend& on, Arguments& the) { on.group_sort(size, the.in(x), the.out(y)); });
}

void CheckBackend::group_sort_backward(int64_t size, const Tensor& x, const Tensor& dy, Tensor& dx) {
  both("group_sort_backward",
       [&](Backend& on, Arguments& the) { on.group_sort_backward(size, the.in(x), the.in(dy), the.out(dx)); });
}

void CheckBackend::householder(Pairing pairing, const Tensor& x, const Tensor& theta, Tensor& y) {
  both("householder",
       [&](Backend& on, Arguments& the) { on.householder(pairing, the.in(x), the.in(theta), the.out(y)); });
}

void CheckBackend::householder_backward(Pairing pairing, const Tensor& x, const Tensor& theta, const Tensor& dy,
                                        Tensor& dx, Tensor& dtheta) {
  both("householder_backward", [&](Backend& on, Arguments& the) {
    on.householder_backward(pairing, the.in(x), the.in(theta), the.in(dy), the.out(dx), the.out(dtheta));
  });
}

void CheckBackend::map_channels(const ChannelMap& map, const Tensor& x, Tensor& y) {
  both("map_channels", [&](Backend& on, Arguments& the) { on.map_channels(map, the.in(x), the.out(y)); });
}

void CheckBackend::space_to_depth(int64_t block, const Tensor& x, Tensor& y) {
  both("space_to_depth", [&](Backend& on, Arguments& the) { on.space_to_depth(block, the.in(x), the.out(y)); });
}

void CheckBackend::depth_to_space(int64_t block, const Tensor& x, Tensor& y) {
  both("depth_to_space", [&](Backend& on, Arguments& the) { on.depth_to_space(block, the.in(x), the.out(y)); });
}

void CheckBackend::concat(std::span<const Tensor> x, Tensor& y) {
  both("concat", [&](Backend& on, Arguments& the) {
    std::vector<Tensor> parts;
    for (const Tensor& part : x) parts.push_back(the.in(part));
    on.concat(parts, the.out(y));
  });
}

void CheckBackend::pad(const std::array<int64_t, 4>& sides, double value, const Tensor& x, Tensor& y) {
  both("pad", [&](Backend& on, Arguments& the) { on.pad(sides, value, the.in(x), the.out(y)); });
}

void CheckBackend::crop(const std::array<int64_t, 4>& sides, const Tensor& x, Tensor& y) {
  both("crop", [&](Backend& on, Arguments& the) { on.crop(sides, the.in(x), the.out(y)); });
}

void CheckBackend::permute(std::span<const int64_t> axes, const Tensor& x, Tensor& y) {
  both("permute", [&](Backend& on, Arguments& the) { on.permute(axes, the.in(x), the.out(y)); });
}

void CheckBackend::convert_layout(const Tensor& x, Tensor& y) {
  both("convert_layout", [&](Backend& on, Arguments& the) { on.convert_layout(the.in(x), the.out(y)); });
}

void CheckBackend::gather_rows(const Tensor& x, const Tensor& index, Tensor& y) {
  both("gather_rows", [&](Backend& on, Arguments& the) { on.gather_rows(the.in(x), the.in(index), the.out(y)); });
}

void CheckBackend::scatter_rows(const Tensor& dy, const Tensor& index, Tensor& dx) {
  both("scatter_rows", [&](Backend& on, Arguments& the) { on.scatter_rows(the.in(dy), the.in(index), the.out(dx)); });
}

void CheckBackend::pool(const PoolSpec& spec, const Tensor& x, Tensor& y) {
  both("pool", [&](Backend& on, Arguments& the) { on.pool(spec, the.in(x), the.out(y)); });
}

void CheckBackend::pool_backward(const PoolSpec& spec, const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx) {
  both("pool_backward",
       [&](Backend& on, Arguments& the) { on.pool_backward(spec, the.in(x), the.in(y), the.in(dy), the.out(dx)); });
}

void CheckBackend::sum_to_channels(const Tensor& x, Tensor& y) {
  both("sum_to_channels", [&](Backend& on, Arguments& the) { on.sum_to_channels(the.in(x), the.out(y)); });
}

void CheckBackend::sum(const Tensor& x, Tensor& y) {
  both("sum", [&](Backend& on, Arguments& the) { on.sum(the.in(x), the.out(y)); });
}

void CheckBackend::cross_entropy(const CrossEntropySpec& spec, const Tensor& z, const Tensor& labels, Tensor& loss,
                                 Tensor& p) {
  both("cross_entropy", [&](Backend& on, Arguments& the) {
    on.cross_entropy(spec, the.in(z), the.in(labels), the.out(loss), the.out(p));
  });
}

void CheckBackend::cross_entropy_backward(const Tensor& p, const Tensor& labels, const Tensor& dloss, Tensor& dz) {
  both("cross_entropy_backward", [&](Backend& on, Arguments& the) {
    on.cross_entropy_backward(the.in(p), the.in(labels), the.in(dloss), the.out(dz));
  });
}

void CheckBackend::margin(const Tensor& z, const Tensor& labels, Tensor& margin, Tensor& rival) {
  both("margin",
       [&](Backend& on, Arguments& the) { on.margin(the.in(z), the.in(labels), the.out(margin), the.out(rival)); });
}

void CheckBackend::margin_backward(const Tensor& labels, const Tensor& rival, const Tensor& dmargin, Tensor& dz) {
  both("margin_backward", [&](Backend& on, Arguments& the) {
    on.margin_backward(the.in(labels), the.in(rival), the.in(dmargin), the.out(dz));
  });
}

void CheckBackend::margin_softmax(const MarginSoftmaxSpec& spec, const Tensor& z, const Tensor& labels,
                                  const Tensor& raise, const Tensor& lower, Tensor& loss, Tensor& p, Tensor& slope) {
  both("margin_softmax", [&](Backend& on, Arguments& the) {
    on.margin_softmax(spec, the.in(z), the.in(labels), the.in(raise), the.in(lower), the.out(loss), the.out(p),
                      the.out(slope));
  });
}

void CheckBackend::margin_softmax_backward(const MarginSoftmaxSpec& spec, const Tensor& p, const Tensor& slope,
                                           const Tensor& labels, const Tensor& dloss, Tensor& dz) {
  both("margin_softmax_backward", [&](Backend& on, Arguments& the) {
    on.margin_softmax_backward(spec, the.in(p), the.in(slope), the.in(labels), the.in(dloss), the.out(dz));
  });
}

void CheckBackend::sgd_step(const SgdSpec& spec, const Tensor& pace, const Tensor& dw, Tensor& w, Tensor& v) {
  both("sgd_step",
       [&](Backend& on, Arguments& the) { on.sgd_step(spec, the.in(pace), the.in(dw), the.in_out(w), the.in_out(v)); });
}

void CheckBackend::adamw_step(const AdamWSpec& spec, const Tensor& pace, const Tensor& dw, Tensor& w, Tensor& m,
                              Tensor& v) {
  both("adamw_step", [&](Backend& on, Arguments& the) {
    on.adamw_step(spec, the.in(pace), the.in(dw), the.in_out(w), the.in_out(m), the.in_out(v));
  });
}

void CheckBackend::rotate(const RotationSpec& spec, const Tensor& x, const Tensor& q, Tensor& y) {
  both("rotate", [&](Backend& on, Arguments& the) { on.rotate(spec, the.in(x), the.in(q), the.out(y)); });
}

void CheckBackend::rotate_backward(const RotationSpec& spec, const Tensor& x, const Tensor& dy, Tensor& dq) {
  both("rotate_backward",
       [&](Backend& on, Arguments& the) { on.rotate_backward(spec, the.in(x), the.in(dy), the.out(dq)); });
}

void CheckBackend::skew_from_triangle(const Tensor& v, Tensor& k) {
  both("skew_from_triangle", [&](Backend& on, Arguments& the) { on.skew_from_triangle(the.in(v), the.out(k)); });
}

void CheckBackend::skew_from_triangle_backward(const Tensor& dk, Tensor& dv) {
  both("skew_from_triangle_backward",
       [&](Backend& on, Arguments& the) { on.skew_from_triangle_backward(the.in(dk), the.out(dv)); });
}

void CheckBackend::scale_rows(const Tensor& x, const Tensor& s, Tensor& y) {
  both("scale_rows", [&](Backend& on, Arguments& the) { on.scale_rows(the.in(x), the.in(s), the.out(y)); });
}

void CheckBackend::scale_rows_backward(const Tensor& x, const Tensor& dy, Tensor& ds) {
  both("scale_rows_backward",
       [&](Backend& on, Arguments& the) { on.scale_rows_backward(the.in(x), the.in(dy), the.out(ds)); });
}

}  // namespace gsnet
