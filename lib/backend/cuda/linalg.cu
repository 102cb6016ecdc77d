// Dense matrices: products and solves by the libraries, the rest here.
#include <cmath>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/faults.h"
#include "backend/cuda/loops.h"
#include "backend/cuda/sums.h"

namespace gsnet::cuda {
namespace {

/// a[b] += scale I.
void add_identity(Stream stream, double scale, Tensor& a) {
  const int64_t m = a.shape()[1], size = m * m;
  float* at = a.data<float>();
  const auto number = static_cast<float>(scale);
  for_each(stream, a.shape()[0] * m, [=] GSNET_DEVICE(int64_t i) { at[i / m * size + i % m * (m + 1)] += number; });
}

/// Notes matrices whose factor U has a pivot that is none.
void check_pivots(Stream stream, const Tensor& lu, int32_t* faults) {
  const int64_t m = lu.shape()[1];
  const float* from = lu.data<float>();
  for_each(stream, lu.shape()[0] * m, [=] GSNET_DEVICE(int64_t i) {
    const float pivot = fabsf(from[i / m * m * m + i % m * (m + 1)]);
    if (!(pivot > 1.1920929e-7F)) *faults = static_cast<int32_t>(Fault::singular);
  });
}

/// Addresses of the matrices of a, then of those of b, (batch, m, m) both.
Tensor addresses_of(Runtime& runtime, const Tensor& a, const Tensor& b) {
  const int64_t batch = a.shape()[0], size = a.numel() / batch;
  Tensor made = Tensor::empty({2 * batch}, DType::i64, Layout::row_major, runtime.memory());
  int64_t* to = made.data<int64_t>();
  float *first = a.data<float>(), *second = b.data<float>();
  for_each(runtime.stream(), 2 * batch, [=] GSNET_DEVICE(int64_t i) {
    to[i] = reinterpret_cast<int64_t>(i < batch ? first + i * size : second + (i - batch) * size);
  });
  return made;
}

/// b <- X with op(A) X = B in columns, a = L U in place.
void solve(Runtime& runtime, bool transpose, Tensor& a, Tensor& b) {
  const Tensor addresses = addresses_of(runtime, a, b);
  runtime.solve(a.shape()[0], a.shape()[1], transpose, static_cast<float**>(addresses.raw()));
}

}  // namespace

// I + a and (I - a)^-1 commute. A row-major matrix is its transpose to a library that counts columns first: what is
// solved is (I - a)' q' = (I + a)', where q' in columns is q in rows.
void CudaBackend::cayley(const Tensor& a, Tensor& q) {
  if (a.numel() == 0) return;
  Tensor matrix = scratch(a.shape());
  scale(-1, a, matrix);
  add_identity(stream(), 1, matrix);
  copy(a, q);
  add_identity(stream(), 1, q);
  solve(*runtime_, false, matrix, q);
  check_pivots(stream(), matrix, faults());
}

// da (I - a)' = (I + q)' dq, which is (I - a) da' = ((I + q)' dq)'.
void CudaBackend::cayley_backward(const Tensor& a, const Tensor& q, const Tensor& dq, Tensor& da) {
  if (a.numel() == 0) return;
  Tensor matrix = scratch(a.shape()), sum = scratch(a.shape());
  scale(-1, a, matrix);
  add_identity(stream(), 1, matrix);
  copy(q, sum);
  add_identity(stream(), 1, sum);
  matmul(sum, true, dq, false, da);
  solve(*runtime_, true, matrix, da);
}

namespace {

constexpr double kTiny = 1.1754943508222875e-38;

}  // namespace

void CudaBackend::normalise_rows(const Tensor& w, Tensor& y) {
  const int64_t rows = w.shape()[0], columns = rows == 0 ? 0 : w.numel() / rows;
  const float* from = w.data<float>();
  float* to = y.data<float>();
  const Tensor squares_of = dots_of_rows(*runtime_, rows, columns, from, from);
  const double* squares = squares_of.data<double>();
  for_each(stream(), w.numel(), [=] GSNET_DEVICE(int64_t i) {
    to[i] = static_cast<float>(static_cast<double>(from[i]) / fmax(sqrt(squares[i / columns]), kTiny));
  });
}

void CudaBackend::normalise_rows_backward(const Tensor& w, const Tensor& dy, Tensor& dw) {
  const int64_t rows = w.shape()[0], columns = rows == 0 ? 0 : w.numel() / rows;
  const float* from = w.data<float>();
  const float* given = dy.data<float>();
  float* to = dw.data<float>();
  const Tensor squares_of = dots_of_rows(*runtime_, rows, columns, from, from);
  const Tensor along_of = dots_of_rows(*runtime_, rows, columns, from, given);
  const double* squares = squares_of.data<double>();
  const double* along = along_of.data<double>();
  for_each(stream(), w.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t r = i / columns;
    const double across = static_cast<double>(given[i]) - static_cast<double>(from[i]) * (along[r] / squares[r]);
    to[i] = static_cast<float>(across / fmax(sqrt(squares[r]), kTiny));
  });
}

}  // namespace gsnet::cuda
