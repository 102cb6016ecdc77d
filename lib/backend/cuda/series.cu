// The central operator in the form that the shape asks for; here, terms as convolutions one by one.
#include <algorithm>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/loops.h"
#include "backend/cuda/series_dense.h"
#include "backend/cuda/series_fused.h"
#include "backend/cuda/series_gradient.h"

namespace gsnet::cuda {
namespace {

Shape times_images(const Shape& x, int64_t count) { return {x[0] * count, x[1], x[2], x[3]}; }

/// Iterate i in one tensor of them all.
Tensor iterate(const Tensor& all, int64_t i, int64_t images) { return all.rows(i * images, images); }

/// to = a + factor b.
void add_scaled(Stream stream, const Tensor& a, double factor, const Tensor& b, Tensor& to) {
  const float* first = a.data<float>();
  const float* second = b.data<float>();
  float* sum = to.data<float>();
  const auto f = static_cast<float>(factor);
  for_each(stream, a.numel(), [=] GSNET_DEVICE(int64_t i) { sum[i] = first[i] + f * second[i]; });
}

}  // namespace

SeriesForm CudaBackend::form_of(const Shape& x, const Shape& k, const SeriesSpec& spec) const {
  if (only_ && can_series_form(*runtime_, *only_, x, k, spec)) return *only_;
  return choose_series_form(*runtime_, x, k, spec);
}

// u_K = x, u_{k-1} = x + (c_k / c_{k-1}) J u_k, y = c_0 u_0 + bias. Kept: u_K … u_1, in this order.
void CudaBackend::series(const Tensor& x, const Tensor& k, const SeriesSpec& spec, const Tensor* bias, Tensor& y,
                         Tensor* kept) {
  const SeriesForm form = form_of(x.shape(), k.shape(), spec);
  if (form == SeriesForm::fused) return fused_forward(*runtime_, x, k, spec, bias, y, kept);
  if (form == SeriesForm::dense) return dense_forward(*runtime_, x, k, spec, bias, y, kept);
  const int degree = spec.degree();
  const int64_t images = x.shape()[0];
  const Tensor all = kept != nullptr ? *kept : empty(times_images(x.shape(), 2), Layout::channels_last);
  const ConvSpec conv = series_convolution(k.shape(), spec.groups);
  Tensor u = iterate(all, 0, images);
  if (u.raw() != x.raw()) copy(x, u);
  for (int i = degree; i >= 1; --i) {
    const auto c = [&](int at) { return spec.coefficients[static_cast<size_t>(at)]; };
    Tensor next = i == 1 ? y : iterate(all, kept != nullptr ? degree - i + 1 : (degree - i + 1) % 2, images);
    convolve(u, k, conv, precision_of(spec.products),
             {.addend = x.data<float>(), .scale = static_cast<float>(c(i) / c(i - 1))}, next);
    u = next;
  }
  if (spec.coefficients[0] != 1) scale(spec.coefficients[0], y, y);
  if (bias != nullptr) add_bias(y, *bias, y);
}

namespace {

bool keeps(const SeriesSpec& spec, const SeriesSaved* saved) {
  return saved != nullptr && spec.save == SeriesSave::iterates;
}

}  // namespace

void CudaBackend::conv_exp(const Tensor& x, const Tensor& k, const SeriesSpec& spec, Tensor& y, SeriesSaved* saved) {
  if (x.numel() == 0) return;
  if (!keeps(spec, saved)) return series(x, k, spec, nullptr, y, nullptr);
  Tensor all = empty(times_images(x.shape(), spec.degree()), Layout::channels_last);
  *saved = {.tensors = {all}, .with_input = true};
  series(x, k, spec, nullptr, y, &all);
}

// The input goes where the first iterate is kept, which it is.
void CudaBackend::conv_exp_between(const Tensor& x, const Tensor& k, const SeriesSpec& spec, const SeriesEnds& ends,
                                   Tensor& y, SeriesSaved* saved) {
  const Shape& s = x.shape();
  if (x.numel() == 0) return Backend::conv_exp_between(x, k, spec, ends, y, saved);
  const Shape shape = {s[0], ends.before->outputs(), s[2] / ends.block, s[3] / ends.block};
  const bool moved = ends.block > 1 || !ends.before->is_identity(), cut = !ends.after->is_identity();
  const bool keep = keeps(spec, saved), dense = form_of(shape, k.shape(), spec) == SeriesForm::dense;
  Tensor all, inner = x;
  if (keep) {
    all = empty(times_images(shape, spec.degree()), Layout::channels_last);
    *saved = {.tensors = {all}, .with_input = true};
  }
  if (moved) {
    inner = keep && !dense ? iterate(all, 0, s[0]) : empty(shape, Layout::channels_last);
    enter(x, ends, inner);
  }
  Tensor whole = cut ? empty(shape, Layout::channels_last) : y;
  series(inner, k, spec, cut ? nullptr : ends.bias, whole, keep ? &all : nullptr);
  if (!cut) return;
  map_channels(*ends.after, whole, y);
  if (ends.bias != nullptr) add_bias(y, *ends.bias, y);
}

// g_1 = c_1 dy, g_{k+1} = (c_{k+1} / c_k) J' g_k, J' = -J: dk = sum_k g_k (x) u_k, one weight gradient over K times the
// images; dx = c_0 dy + sum_k J' g_k.
void CudaBackend::conv_exp_backward(const Tensor& x, Tensor k, const SeriesSpec& spec, const SeriesSaved& saved,
                                    const Tensor& dy, Tensor* dx, Tensor* dk) {
  if (dk != nullptr) *dk = empty_like(k);
  if (x.numel() == 0) {
    if (dk != nullptr) fill(0, *dk);
    return;
  }
  const ConvSpec conv = series_convolution(k.shape(), spec.groups);
  const int degree = spec.degree();
  const int64_t images = x.shape()[0];
  Tensor iterates;
  if (dk != nullptr) {
    SeriesSaved made = saved;
    if (made.tensors.empty()) {
      SeriesSpec again = spec;
      again.save = SeriesSave::iterates;
      Tensor ignored = empty_like(x);
      conv_exp(x, k, again, ignored, &made);
    }
    iterates = made.tensors[0];
  }
  const SeriesForm form = form_of(x.shape(), k.shape(), spec);
  // In the order of the iterates: u_K first, so g_1 last.
  const bool keep = dk != nullptr, needed = keep || form == SeriesForm::terms;
  Tensor all = needed ? empty(times_images(x.shape(), keep ? degree : 2), Layout::channels_last) : Tensor();
  if (form == SeriesForm::fused) {
    fused_backward(*runtime_, dy, k, spec, dx, keep ? &all : nullptr);
  } else if (form == SeriesForm::dense) {
    dense_backward(*runtime_, dy, k, spec, dx, keep ? &all : nullptr);
  } else {
    const auto c = [&](int at) { return spec.coefficients[static_cast<size_t>(at)]; };
    const auto place = [&](int i) { return iterate(all, keep ? degree - i : i % 2, images); };
    Tensor product = empty_like(x), g = place(1);
    scale(c(1), dy, g);
    if (dx != nullptr) scale(c(0), dy, *dx);
    for (int i = 1; i <= degree && (i < degree || dx != nullptr); ++i) {
      convolve(g, k, conv, precision_of(spec.products), {}, product);
      if (dx != nullptr) add_scaled(stream(), *dx, -1, product, *dx);
      if (i == degree) break;
      g = place(i + 1);
      scale(-c(i + 1) / c(i), product, g);
    }
  }
  if (!keep) return;
  if (form == SeriesForm::dense) return dense_gradient(*runtime_, x.shape(), spec, iterates, all, *dk);
  Precision precision = precision_of(spec.products);
  if (form == SeriesForm::fused) {
    precision = fused_precision(k.shape(), spec);
    if (precision == Precision::f32 && plain_gradient_fits(*runtime_, iterates.shape(), k.shape())) {
      return plain_gradient(*runtime_, iterates, all, *dk);
    }
    if (precision == Precision::bf16 && bf16_gradient_fits(*runtime_, iterates.shape(), k.shape())) {
      return bf16_gradient(*runtime_, iterates, all, *dk);
    }
  }
  convolve_wgrad(iterates, all, conv, precision, *dk);
}

}  // namespace gsnet::cuda
