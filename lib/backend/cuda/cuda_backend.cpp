#include "backend/cuda/cuda_backend.h"

#include <algorithm>

#include "backend/cuda/faults.h"
#include "backend/upload.h"
#include "core/error.h"

namespace gsnet::cuda {

Product Product::dense(int64_t batch, int64_t rows, int64_t columns, int64_t inner, bool transpose_a,
                       bool transpose_b) {
  return {.batch = batch,
          .rows = rows,
          .columns = columns,
          .inner = inner,
          .transpose_a = transpose_a,
          .transpose_b = transpose_b,
          .step_a = transpose_a ? rows : inner,
          .step_b = transpose_b ? inner : columns,
          .step_y = columns,
          .stride_a = rows * inner,
          .stride_b = inner * columns,
          .stride_y = rows * columns};
}

CudaBackend::CudaBackend(std::unique_ptr<Runtime> runtime, std::optional<SeriesForm> only)
    : runtime_(std::move(runtime)), only_(only) {
  faults_ = Tensor::empty({2}, DType::i32, Layout::row_major, memory());
  runtime_->clear(faults_.raw(), faults_.bytes());
}

namespace {

/// A recording that knows how many squarings exponentials wanted when it was made.
class Watched final : public Recording {
 public:
  Watched(std::unique_ptr<Recording> recording, const int& wanted)
      : recording_(std::move(recording)), wanted_(wanted), known_(wanted) {}
  void replay() override { recording_->replay(); }
  bool outgrown() const override { return wanted_ > known_; }
  const Recording* recording() const { return recording_.get(); }

 private:
  std::unique_ptr<Recording> recording_;
  const int& wanted_;
  int known_;
};

}  // namespace

std::unique_ptr<Recording> CudaBackend::record(const std::function<void()>& work, const Recording* before,
                                               std::string* why_not) {
  const auto* watched = dynamic_cast<const Watched*>(before);
  std::string reason;
  auto made = runtime_->record(work, watched != nullptr ? watched->recording() : before, reason);
  if (why_not != nullptr) *why_not = reason;
  if (made == nullptr) return nullptr;
  return std::make_unique<Watched>(std::move(made), most_squarings_);
}

// Libraries sum in whatever order they like; engines that transform their input, or round it, are not used.
Arithmetic CudaBackend::arithmetic() const {
  return {.unit_roundoff = 0x1p-24, .roundings_per_product = 1, .orders = 2};
}

void CudaBackend::synchronise() {
  runtime_->synchronise();
  throw_faults();
}

void CudaBackend::assign(const Tensor& host, Tensor& y) {
  const Tensor held = as_held(host, dtype());
  make_alike(held, memory(), y);
  runtime_->stage(y.raw(), held.raw(), held.bytes());
}

Tensor CudaBackend::upload(const Tensor& host) {
  const Tensor held = as_held(host, dtype());
  Tensor copied;
  make_alike(held, memory(), copied);
  runtime_->to_device(copied.raw(), held.raw(), held.bytes());
  return copied;
}

Tensor CudaBackend::download(const Tensor& x) {
  Tensor host = Tensor::empty(x.shape(), x.dtype(), x.layout());
  runtime_->to_host(host.raw(), x.raw(), x.bytes());
  throw_faults();
  return host;
}

const int32_t* CudaBackend::constant(std::span<const int32_t> values) {
  std::vector<int32_t> key(values.begin(), values.end());
  const auto found = constants_.find(key);
  if (found != constants_.end()) return found->second.data<int32_t>();
  Tensor made = Tensor::empty({static_cast<int64_t>(values.size())}, DType::i32, Layout::row_major, memory());
  runtime_->to_device(made.raw(), values.data(), made.bytes());
  runtime_->synchronise();  // the caller's memory may go
  return constants_.emplace(std::move(key), std::move(made)).first->second.data<int32_t>();
}

Tensor CudaBackend::scratch(const Shape& shape, DType dtype) const {
  return Tensor::empty(shape, dtype, Layout::row_major, memory());
}

void CudaBackend::throw_faults() {
  int32_t noted[2] = {0, 0};
  runtime_->to_host(noted, faults_.raw(), sizeof(noted));
  most_squarings_ = std::max<int>(most_squarings_, noted[1]);
  if (noted[0] == 0) return;
  runtime_->clear(faults_.raw(), faults_.bytes());
  switch (static_cast<Fault>(noted[0])) {
    case Fault::label:
      throw Error("[loss] a label is outside the classes");
    case Fault::row:
      throw Error("[rows] a row was asked for that is not there");
    case Fault::singular:
      throw Error("[cayley] I - a is singular to working precision");
    case Fault::norm:
      throw Error(kNoNorm);
    case Fault::squarings:
      throw Error("[matrix_exp] a matrix has become more than four times as large from one recorded step to the next");
    case Fault::none:
      break;
  }
  throw Error("[cuda] a kernel noted a fault of no known kind");
}

void CudaBackend::matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& y) {
  const int64_t batch = y.shape().rank() == 3 ? y.shape()[0] : 1, inner = a.shape()[transpose_a ? -2 : -1];
  if (y.numel() == 0) return;
  if (inner == 0) return runtime_->clear(y.raw(), y.bytes());
  runtime_->multiply(Product::dense(batch, y.shape()[-2], y.shape()[-1], inner, transpose_a, transpose_b),
                     a.data<float>(), b.data<float>(), y.data<float>());
}

void CudaBackend::copy(const Tensor& x, Tensor& y) { runtime_->copy(y.raw(), x.raw(), x.bytes()); }

}  // namespace gsnet::cuda
