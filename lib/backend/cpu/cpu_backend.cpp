#include "backend/cpu/cpu_backend.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/cpu/conv_library.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/make.h"
#include "backend/cpu/series.h"

namespace gsnet {

std::unique_ptr<Backend> make_cpu_backend(int threads) { return std::make_unique<cpu::CpuBackend>(threads); }

namespace cpu {

CpuBackend::CpuBackend(int threads)
    : host::HostBackend<float>(threads),
      convs_(std::make_unique<ConvLibrary>(this->threads(), memory())),
      series_(std::make_unique<SeriesMachine>(SeriesMachine{&series_kernels(), this->threads(), memory()})) {}

CpuBackend::~CpuBackend() = default;

std::string CpuBackend::description() const {
  return fmt::format("{}, {}, {} threads", conv_library_version(), series_->kernels->name, threads());
}

// Runs of output channels of two lengths may be summed in differently many parts; so may the edges of a product.
Arithmetic CpuBackend::arithmetic() const {
  return {.unit_roundoff = 0x1p-24, .roundings_per_product = series_->kernels->fused ? 1 : 2, .orders = 2};
}

bool CpuBackend::multiplies(Precision precision) const {
  return precision == Precision::f32 || (precision == Precision::bf16 && series_->kernels->reduced != nullptr);
}

namespace {

/// y = x w' a group at a time: each a matrix product on rows of all channels.
void pointwise(int threads, const Tensor& x, const Tensor& w, int64_t groups, const Tensor& y) {
  const int64_t in = x.shape()[1], out = y.shape()[1], rows = x.numel() / in;
  for (int64_t g = 0; g < groups; ++g) {
    Product product = Product::dense(rows, out / groups, in / groups, false, true);
    product.stride_a = in;
    product.stride_y = out;
    multiply(threads, product, x.data<float>() + g * in / groups, w.data<float>() + g * w.numel() / groups,
             y.data<float>() + g * out / groups);
  }
}

}  // namespace

// The library's grouped convolutions of wide pixels reach a tenth of what its matrix product does.
void CpuBackend::conv2d(const Tensor& x, const Tensor& w, const ConvEpilogue<Tensor>& after, const ConvSpec& spec,
                        Tensor& y) {
  const bool more = after.bias != nullptr || after.addend != nullptr || after.clips();
  if (x.numel() == 0 || !is_pointwise(w.shape(), spec) || (more && spec.groups == 1)) {
    return convs_->forward(x, w, after, spec, y);
  }
  pointwise(threads(), x, w, spec.groups, y);
  if (after.bias != nullptr) add_bias(y, *after.bias, y);
  if (after.addend != nullptr) binary(BinaryOp::add, y, *after.addend, y);
  if (after.clips()) clip(after.low, after.high, y, y);
}

void CpuBackend::conv2d_dgrad(const Tensor& dy, const Tensor& w, const ConvSpec& spec, Tensor& dx) {
  convs_->backward_data(dy, w, spec, dx);
}

void CpuBackend::conv2d_wgrad(const Tensor& x, const Tensor& dy, const ConvSpec& spec, Tensor& dw) {
  convs_->backward_weights(x, dy, spec, dw);
}

// Lanes of the series kernels are images: with few of them the library is faster, unless iterates must be kept.
bool CpuBackend::library_series(const Tensor& x) const { return 2 * x.shape()[0] <= series_->kernels->vector; }

void CpuBackend::conv_exp(const Tensor& x, const Tensor& k, const SeriesSpec& spec, Tensor& y, SeriesSaved* saved) {
  if (saved == nullptr && library_series(x)) return convs_->series(x, k, spec, 1, y);
  series_forward(*series_, x, k, spec, 1, y, saved);
}

void CpuBackend::conv_exp_between(const Tensor& x, const Tensor& k, const SeriesSpec& spec, const SeriesEnds& ends,
                                  Tensor& y, SeriesSaved* saved) {
  const bool library = saved == nullptr && library_series(x);
  if (!library && x.numel() > 0 && series_between(*series_, x, k, spec, ends, y, saved)) return;
  Backend::conv_exp_between(x, k, spec, ends, y, saved);
}

void CpuBackend::conv_exp_between_backward(Tensor x, Tensor k, const SeriesSpec& spec, const SeriesEnds& ends,
                                           const SeriesSaved& saved, const Tensor& dy, Tensor* dx, Tensor* dk) {
  if (dk != nullptr) {
    *dk = series_backward(*series_, std::move(x), std::move(k), spec, ends, saved, dy, dx);
    return;
  }
  if (dx != nullptr && dy.numel() > 0 && !library_series(dy)) {
    *dx = series_between_adjoint(*series_, dy, k, spec, ends);
    if (*dx) return;
  }
  Backend::conv_exp_between_backward(std::move(x), std::move(k), spec, ends, saved, dy, dx, dk);
}

void CpuBackend::conv_exp_backward(const Tensor& x, Tensor k, const SeriesSpec& spec, const SeriesSaved& saved,
                                   const Tensor& dy, Tensor* dx, Tensor* dk) {
  if (dk != nullptr) {
    const ChannelMap same = ChannelMap::head(x.shape()[1], x.shape()[1]);
    *dk = series_backward(*series_, x, std::move(k), spec, {1, &same, &same, nullptr}, saved, dy, dx);
    return;
  }
  if (dx == nullptr) return;
  if (library_series(x)) return convs_->series(dy, k, spec, -1, *dx);
  series_forward(*series_, dy, k, spec, -1, *dx, nullptr);
}

void CpuBackend::gemm(const GemmShape& s, const float* a, const float* b, float* y) {
  if (s.rows == 0 || s.columns == 0) return;
  if (s.inner == 0) {
    std::fill_n(y, s.batch * s.rows * s.columns, 0.0F);
    return;
  }
  for (int64_t i = 0; i < s.batch; ++i) {
    multiply(threads(), Product::dense(s.rows, s.columns, s.inner, s.transpose_a, s.transpose_b),
             a + i * s.rows * s.inner, b + i * s.inner * s.columns, y + i * s.rows * s.columns);
  }
}

}  // namespace cpu
}  // namespace gsnet
