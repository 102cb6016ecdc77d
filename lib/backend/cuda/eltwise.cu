// Elementwise loops.
#include <cmath>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/loops.h"

namespace gsnet::cuda {

void CudaBackend::fill(double value, Tensor& y) {
  float* to = y.data<float>();
  const auto number = static_cast<float>(value);
  for_each(stream(), y.numel(), [=] GSNET_DEVICE(int64_t i) { to[i] = number; });
}

void CudaBackend::unary(UnaryOp op, const Tensor& x, Tensor& y) {
  const float* from = x.data<float>();
  float* to = y.data<float>();
  const int64_t count = x.numel();
  switch (op) {
    case UnaryOp::relu:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = from[i] > 0 ? from[i] : 0.0F; });
    case UnaryOp::abs:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = fabsf(from[i]); });
    case UnaryOp::square:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = from[i] * from[i]; });
    case UnaryOp::sqrt:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = sqrtf(from[i]); });
    case UnaryOp::exp:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = expf(from[i]); });
    case UnaryOp::log:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = logf(from[i]); });
    case UnaryOp::reciprocal:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = 1.0F / from[i]; });
    case UnaryOp::sigmoid:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = 1.0F / (1.0F + expf(-from[i])); });
    case UnaryOp::tanh:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = tanhf(from[i]); });
  }
}

void CudaBackend::unary_backward(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx) {
  const float* a = x.data<float>();
  const float* b = y.data<float>();
  const float* given = dy.data<float>();
  float* to = dx.data<float>();
  const int64_t count = x.numel();
  switch (op) {
    case UnaryOp::relu:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = a[i] > 0 ? given[i] : 0.0F; });
    case UnaryOp::abs:
      return for_each(stream(), count,
                      [=] GSNET_DEVICE(int64_t i) { to[i] = given[i] * static_cast<float>((a[i] > 0) - (a[i] < 0)); });
    case UnaryOp::square:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = given[i] * (2 * a[i]); });
    case UnaryOp::sqrt:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = given[i] * (0.5F / b[i]); });
    case UnaryOp::exp:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = given[i] * b[i]; });
    case UnaryOp::log:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = given[i] * (1.0F / a[i]); });
    case UnaryOp::reciprocal:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = given[i] * (-b[i] * b[i]); });
    case UnaryOp::sigmoid:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = given[i] * (b[i] * (1 - b[i])); });
    case UnaryOp::tanh:
      return for_each(stream(), count, [=] GSNET_DEVICE(int64_t i) { to[i] = given[i] * (1 - b[i] * b[i]); });
  }
}

void CudaBackend::binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) {
  const float* p = a.data<float>();
  const float* q = b.data<float>();
  float* to = y.data<float>();
  switch (op) {
    case BinaryOp::add:
      return for_each(stream(), a.numel(), [=] GSNET_DEVICE(int64_t i) { to[i] = p[i] + q[i]; });
    case BinaryOp::subtract:
      return for_each(stream(), a.numel(), [=] GSNET_DEVICE(int64_t i) { to[i] = p[i] - q[i]; });
    case BinaryOp::multiply:
      return for_each(stream(), a.numel(), [=] GSNET_DEVICE(int64_t i) { to[i] = p[i] * q[i]; });
  }
}

void CudaBackend::axpby(double alpha, const Tensor& x, double beta, const Tensor& z, Tensor& y) {
  const float* xd = x.data<float>();
  const float* zd = z.data<float>();
  float* to = y.data<float>();
  const auto a = static_cast<float>(alpha), b = static_cast<float>(beta);
  for_each(stream(), x.numel(), [=] GSNET_DEVICE(int64_t i) { to[i] = a * xd[i] + b * zd[i]; });
}

void CudaBackend::scale(double alpha, const Tensor& x, Tensor& y) {
  const float* from = x.data<float>();
  float* to = y.data<float>();
  const auto a = static_cast<float>(alpha);
  for_each(stream(), x.numel(), [=] GSNET_DEVICE(int64_t i) { to[i] = a * from[i]; });
}

void CudaBackend::add_bias(const Tensor& x, const Tensor& b, Tensor& y) {
  const float* from = x.data<float>();
  const float* bias = b.data<float>();
  float* to = y.data<float>();
  const int64_t channels = x.shape()[1];
  for_each(stream(), x.numel(), [=] GSNET_DEVICE(int64_t i) { to[i] = from[i] + bias[i % channels]; });
}

void CudaBackend::scale_channels(const Tensor& x, const Tensor& a, Tensor& y) {
  const float* from = x.data<float>();
  const float* factor = a.data<float>();
  float* to = y.data<float>();
  const int64_t channels = x.shape()[1];
  for_each(stream(), x.numel(), [=] GSNET_DEVICE(int64_t i) { to[i] = factor[i % channels] * from[i]; });
}

void CudaBackend::scale_shift(const Tensor& x, const Tensor& a, const Tensor& b, Tensor& y) {
  const float* from = x.data<float>();
  const float* factor = a.data<float>();
  const float* shift = b.data<float>();
  float* to = y.data<float>();
  const int64_t channels = x.shape()[1];
  for_each(stream(), x.numel(),
           [=] GSNET_DEVICE(int64_t i) { to[i] = factor[i % channels] * from[i] + shift[i % channels]; });
}

void CudaBackend::scale_maps(const Tensor& x, const Tensor& a, Tensor& y) {
  const float* from = x.data<float>();
  const float* factor = a.data<float>();
  float* to = y.data<float>();
  const int64_t channels = x.shape()[1], area = x.shape()[2] * x.shape()[3];
  for_each(stream(), x.numel(),
           [=] GSNET_DEVICE(int64_t i) { to[i] = factor[i / (area * channels) * channels + i % channels] * from[i]; });
}

}  // namespace gsnet::cuda
