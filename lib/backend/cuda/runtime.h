// What the machine asks of the driver and of NVIDIA's libraries: memory, one stream, products, convolutions. Tests put
// host code behind it.
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/conv.h"
#include "backend/precision.h"
#include "core/allocator.h"
#include "core/device.h"

namespace gsnet::cuda {

/// y (batch; rows, columns) = op(a) op(b), everything row-major: row r of a matrix starts at r times its `step`, matrix
/// i of the batch at i times its `stride`.
struct Product {
  int64_t batch = 1, rows = 0, columns = 0, inner = 0;
  bool transpose_a = false, transpose_b = false;
  int64_t step_a = 0, step_b = 0, step_y = 0;
  int64_t stride_a = 0, stride_b = 0, stride_y = 0;
  Precision precision = Precision::f32;  ///< other than f32: tf32

  /// Matrices one after another, without gaps.
  static Product dense(int64_t batch, int64_t rows, int64_t columns, int64_t inner, bool transpose_a = false,
                       bool transpose_b = false);
};

/// One convolution of channels-last activations with filters (Co, Kh, Kw, Ci/g), padding the same on opposite sides.
struct Convolution {
  Shape x, w, y;  ///< (N, C, H, W), (Co, Ci/g, Kh, Kw), (N, Co, Ho, Wo)
  ConvSpec spec;
  Precision precision = Precision::f32;  ///< other than f32: tf32
};

/// What follows its sums: y = scale conv(x, w) + bias + addend, held between low and high.
struct ConvEnd {
  const float* bias = nullptr;    ///< (Co)
  const float* addend = nullptr;  ///< like y, and not y
  float scale = 1;
  float low = -std::numeric_limits<float>::infinity(), high = std::numeric_limits<float>::infinity();

  bool clips() const {
    return low > -std::numeric_limits<float>::infinity() || high < std::numeric_limits<float>::infinity();
  }
  bool plain() const { return bias == nullptr && addend == nullptr && scale == 1 && !clips(); }
};

/// Thrown while work is noted by what needs the host.
struct NeedsHost {
  const char* what;  ///< "a copy to the host"
};

class Runtime {
 public:
  virtual ~Runtime() = default;

  /// "NVIDIA H100 80GB, CUDA 13.0, cuDNN 9.12"
  virtual std::string description() const = 0;
  virtual Device device() const = 0;
  virtual const std::shared_ptr<Allocator>& memory() const = 0;
  virtual void* stream() const = 0;
  /// Whether there are tensor cores for tf32 and bf16.
  virtual bool has_tensor_cores() const = 0;
  /// Bytes of memory that the threads of a block can share.
  virtual int64_t most_shared() const = 0;

  /// Ordered with the stream's work; when to_host returns the bytes are there.
  virtual void to_device(void* to, const void* from, size_t bytes) = 0;
  virtual void to_host(void* to, const void* from, size_t bytes) = 0;
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  virtual void clear(void* to, size_t bytes) = 0;
  virtual void synchronise() = 0;
  /// As to_device, and `from` may go when it returns: by memory that the device reads itself, on a stream of its own,
  /// so that bytes travel while earlier work runs.
  virtual void stage(void* to, const void* from, size_t bytes) = 0;
  /// Backend::record; why_not is set where null is returned.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& work, const Recording* before,
                                            std::string& why_not) = 0;
  /// Whether work is being noted, and the host must not look at results.
  virtual bool noting() const = 0;

  virtual void multiply(const Product& product, const float* a, const float* b, float* y) = 0;
  /// For each of `batch` pairs of matrices: a = L U in place, with pivots; b <- X with op(A) X = B, A and B (m, m) in
  /// column-major order. On the device: addresses of all a, then of all b.
  virtual void solve(int64_t batch, int64_t m, bool transpose, float** matrices) = 0;

  /// False where the library cannot, or not with this end: nothing was done.
  virtual bool conv_forward(const Convolution& c, const ConvEnd& end, const float* x, const float* w, float* y) = 0;
  virtual bool conv_dgrad(const Convolution& c, const float* dy, const float* w, float* dx) = 0;
  virtual bool conv_wgrad(const Convolution& c, const float* x, const float* dy, float* dw) = 0;
};

/// The first device. Throws Error in one line where there is no driver or no device.
std::unique_ptr<Runtime> make_cuda_runtime();

}  // namespace gsnet::cuda
