// The functions of cuBLAS that the machine calls, over the interpreted device.
#include <cublas_v2.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "cuda/interpreter/device.h"
#include "cuda/interpreter/fault.h"
#include "cuda/interpreter/numbers.h"

namespace gsnet::ptx {
namespace {

struct Blas {
  cudaStream_t stream = nullptr;
};

Blas& blas_of(cublasHandle_t handle) { return *reinterpret_cast<Blas*>(handle); }

float rounded(float value, bool tf32) { return tf32 ? std::bit_cast<float>(to_tf32(value)) : value; }

/// Columns first; an entry of op(matrix).
struct Matrix {
  const float* at;
  int step;
  bool transposed;
  float operator()(int row, int column) const {
    return transposed ? at[static_cast<int64_t>(row) * step + column] : at[static_cast<int64_t>(column) * step + row];
  }
};

template <class Call>
cublasStatus_t call(cublasHandle_t handle, Call body) {
  const bool done = Device::get().does([&] { body(stream_of(blas_of(handle).stream)); });
  return done ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

/// a = L U with rows exchanged, in place; pivots count from 1.
void factorise(int n, float* a, int step, int* pivots, int* info) {
  *info = 0;
  const auto at = [&](int row, int column) -> float& { return a[static_cast<int64_t>(column) * step + row]; };
  for (int k = 0; k < n; ++k) {
    int pivot = k;
    for (int row = k + 1; row < n; ++row) {
      if (std::fabs(at(row, k)) > std::fabs(at(pivot, k))) pivot = row;
    }
    pivots[k] = pivot + 1;
    if (at(pivot, k) == 0) {
      if (*info == 0) *info = k + 1;
      continue;
    }
    for (int column = 0; column < n; ++column) std::swap(at(k, column), at(pivot, column));
    for (int row = k + 1; row < n; ++row) {
      at(row, k) /= at(k, k);
      for (int column = k + 1; column < n; ++column) at(row, column) -= at(row, k) * at(k, column);
    }
  }
}

/// b <- X with op(L U) X = b.
void substitute(int n, int columns, bool transposed, const float* a, int a_step, const int* pivots, float* b,
                int b_step) {
  const auto at = [&](int row, int column) { return a[static_cast<int64_t>(column) * a_step + row]; };
  for (int c = 0; c < columns; ++c) {
    float* x = b + static_cast<int64_t>(c) * b_step;
    if (!transposed) {
      for (int k = 0; k < n; ++k) std::swap(x[k], x[pivots[k] - 1]);
      for (int row = 0; row < n; ++row) {
        for (int k = 0; k < row; ++k) x[row] -= at(row, k) * x[k];
      }
      for (int row = n; row-- > 0;) {
        for (int k = row + 1; k < n; ++k) x[row] -= at(row, k) * x[k];
        x[row] /= at(row, row);
      }
    } else {
      for (int row = 0; row < n; ++row) {
        for (int k = 0; k < row; ++k) x[row] -= at(k, row) * x[k];
        x[row] /= at(row, row);
      }
      for (int row = n; row-- > 0;) {
        for (int k = row + 1; k < n; ++k) x[row] -= at(k, row) * x[k];
      }
      for (int k = n; k-- > 0;) std::swap(x[k], x[pivots[k] - 1]);
    }
  }
}

}  // namespace
}  // namespace gsnet::ptx

using namespace gsnet::ptx;

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = reinterpret_cast<cublasHandle_t>(new Blas);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete &blas_of(handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  blas_of(handle).stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes) {
  return call(handle, [&](Stream&) { must_hold(workspace, bytes, "the workspace"); });
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                                          int rows, int columns, int inner, const void* alpha, const void* a,
                                          cudaDataType a_type, int a_step, long long a_stride, const void* b,
                                          cudaDataType b_type, int b_step, long long b_stride, const void* beta,
                                          void* c, cudaDataType c_type, int c_step, long long c_stride, int batch,
                                          cublasComputeType_t compute, cublasGemmAlgo_t) {
  if (a_type != CUDA_R_32F || b_type != CUDA_R_32F || c_type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool turned_a = op_a != CUBLAS_OP_N, turned_b = op_b != CUBLAS_OP_N;
  if (rows < 0 || columns < 0 || inner < 0 || batch < 0 || a_step < std::max(1, turned_a ? inner : rows) ||
      b_step < std::max(1, turned_b ? columns : inner) || c_step < std::max(1, rows)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  return call(handle, [&](Stream& stream) {
    const float scale = *static_cast<const float*>(alpha), kept = *static_cast<const float*>(beta);
    const bool tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    const auto last = [&](int steps, int step, int along, long long stride) {
      return steps == 0 || along == 0
                 ? size_t{0}
                 : sizeof(float) *
                       static_cast<size_t>((batch - 1) * stride + static_cast<int64_t>(steps - 1) * step + along);
    };
    if (batch == 0 || rows == 0 || columns == 0) return;
    must_hold(a, turned_a ? last(rows, a_step, inner, a_stride) : last(inner, a_step, rows, a_stride),
              "a product's first factor");
    must_hold(b, turned_b ? last(inner, b_step, columns, b_stride) : last(columns, b_step, inner, b_stride),
              "a product's second factor");
    must_hold(c, last(columns, c_step, rows, c_stride), "a product");
    Device::get().enqueue(stream, [=] {
      std::vector<float> total(static_cast<size_t>(rows));
      for (int64_t i = 0; i < batch; ++i) {
        const Matrix of_a = {static_cast<const float*>(a) + i * a_stride, a_step, turned_a};
        const Matrix of_b = {static_cast<const float*>(b) + i * b_stride, b_step, turned_b};
        for (int column = 0; column < columns; ++column) {
          std::ranges::fill(total, 0.0F);
          for (int k = 0; k < inner; ++k) {
            const float factor = rounded(of_b(k, column), tf32);
            for (int row = 0; row < rows; ++row)
              total[static_cast<size_t>(row)] += rounded(of_a(row, k), tf32) * factor;
          }
          float* to = static_cast<float*>(c) + i * c_stride + static_cast<int64_t>(column) * c_step;
          for (int row = 0; row < rows; ++row)
            to[row] = scale * total[static_cast<size_t>(row)] + (kept == 0 ? 0 : kept * to[row]);
        }
      }
    });
  });
}

cublasStatus_t cublasSgetrfBatched(cublasHandle_t handle, int n, float* const matrices[], int step, int* pivots,
                                   int* info, int batch) {
  return call(handle, [&](Stream& stream) {
    must_hold(matrices, sizeof(float*) * static_cast<size_t>(batch), "addresses of matrices");
    must_hold(pivots, sizeof(int) * static_cast<size_t>(batch) * static_cast<size_t>(n), "pivots");
    must_hold(info, sizeof(int) * static_cast<size_t>(batch), "what a factorisation says");
    Device::get().enqueue(stream, [=] {
      for (int i = 0; i < batch; ++i) {
        must_hold(matrices[i], sizeof(float) * static_cast<size_t>(step) * static_cast<size_t>(n), "a matrix");
        factorise(n, matrices[i], step, pivots + static_cast<int64_t>(i) * n, info + i);
      }
    });
  });
}

cublasStatus_t cublasSgetrsBatched(cublasHandle_t handle, cublasOperation_t op, int n, int columns,
                                   const float* const a[], int a_step, const int* pivots, float* const b[], int b_step,
                                   int* info, int batch) {
  *info = 0;
  return call(handle, [&](Stream& stream) {
    must_hold(a, sizeof(float*) * static_cast<size_t>(batch), "addresses of matrices");
    must_hold(b, sizeof(float*) * static_cast<size_t>(batch), "addresses of matrices");
    Device::get().enqueue(stream, [=] {
      for (int i = 0; i < batch; ++i) {
        must_hold(b[i], sizeof(float) * static_cast<size_t>(b_step) * static_cast<size_t>(columns), "a matrix");
        substitute(n, columns, op != CUBLAS_OP_N, a[i], a_step, pivots + static_cast<int64_t>(i) * n, b[i], b_step);
      }
    });
  });
}

}  // extern "C"
