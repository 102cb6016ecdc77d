// The driver, cuBLAS, and the convolutions of conv_plans.h behind one interface.
#include <fmt/format.h>

#include <utility>

#include "backend/cuda/conv_plans.h"
#include "backend/cuda/handles.h"
#include "backend/cuda/recording.h"
#include "backend/cuda/runtime.h"
#include "backend/cuda/staging.h"
#include "core/caching_allocator.h"
#include "core/error.h"

namespace gsnet::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;

class CudaRuntime final : public Runtime {
 public:
  CudaRuntime() {
    int devices = 0, driver = 0;
    const cudaError_t status = cudaGetDeviceCount(&devices);
    check(cudaDriverGetVersion(&driver), "the driver's version");  // 0: there is none
    const char* why = driver == 0             ? "there is no driver"
                      : status == cudaSuccess ? "there is none"
                                              : cudaGetErrorString(status);
    GSNET_CHECK(status == cudaSuccess && devices > 0,
                fmt::format("backend 'cuda': no device can be used here ({})", why));
    check(cudaSetDevice(0), "device 0");
    check(cudaGetDeviceProperties(&properties_, 0), "device 0");
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
    stream_.reset(stream);
    memory_ = make_device_allocator(0);
    cublasHandle_t blas = nullptr;
    check(cublasCreate(&blas), "cuBLAS");
    blas_.reset(blas);
    check(cublasSetStream(blas, stream), "cuBLAS");
    check(cublasSetMathMode(blas, CUBLAS_PEDANTIC_MATH), "cuBLAS");  // single precision is single precision
    workspace_ = Tensor::empty({static_cast<int64_t>(kWorkspaceBytes)}, DType::u8, Layout::row_major, memory_);
    check(cublasSetWorkspace(blas, workspace_.raw(), workspace_.bytes()), "cuBLAS");
    plans_ = std::make_unique<ConvPlans>(stream);
  }
  CudaRuntime(const CudaRuntime&) = delete;
  CudaRuntime& operator=(const CudaRuntime&) = delete;
  ~CudaRuntime() override { cudaStreamSynchronize(stream_.get()); }

  std::string description() const override {
    int runtime = 0;
    check(cudaRuntimeGetVersion(&runtime), "the runtime's version");
    return fmt::format("{}, CUDA {}.{}, {}", properties_.name, runtime / 1000, runtime / 10 % 100,
                       conv_library_version());
  }
  Device device() const override { return {DeviceKind::cuda, 0}; }
  const std::shared_ptr<Allocator>& memory() const override { return memory_; }
  void* stream() const override { return stream_.get(); }
  bool has_tensor_cores() const override { return properties_.major >= 8; }
  int64_t most_shared() const override { return static_cast<int64_t>(properties_.sharedMemPerBlockOptin); }

  void to_device(void* to, const void* from, size_t bytes) override {
    needs_host("a copy from the host");
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_.get()), "copying to the device");
  }
  void to_host(void* to, const void* from, size_t bytes) override {
    needs_host("a copy to the host");
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_.get()), "copying to the host");
    synchronise();
  }
  void copy(void* to, const void* from, size_t bytes) override {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_.get()), "copying");
  }
  void clear(void* to, size_t bytes) override { check(cudaMemsetAsync(to, 0, bytes, stream_.get()), "clearing"); }
  void synchronise() override {
    needs_host("a wait");
    check(cudaStreamSynchronize(stream_.get()), "waiting for the device");
  }
  void stage(void* to, const void* from, size_t bytes) override {
    needs_host("a copy from the host");
    staging_.send(to, from, bytes, stream_.get(), memory_);
  }

  std::unique_ptr<Recording> record(const std::function<void()>& work, const Recording* before,
                                    std::string& why_not) override {
    const auto* graph = dynamic_cast<const GraphRecording*>(before);
    auto needs = std::make_shared<GraphNeeds>(GraphNeeds{graph != nullptr ? graph->memory() : make_pool(memory_)});
    const auto outside = std::exchange(memory_, needs->memory);
    noting_ = true;
    plans_->keep_used(&needs->plans);
    const auto end = [&] {
      noting_ = false;
      memory_ = outside;
      plans_->keep_used(nullptr);
    };
    try {
      auto made = record_graph(stream_.get(), needs, work, why_not);
      end();
      return made;
    } catch (...) {
      end();
      throw;
    }
  }

  bool noting() const override { return noting_; }

  // The library counts columns first: a row-major y = op(a) op(b) is y' = op(b)' op(a)' to it.
  void multiply(const Product& p, const float* a, const float* b, float* y) override {
    constexpr float kOne = 1, kZero = 0;
    const bool tf32 = p.precision != Precision::f32;
    const cublasComputeType_t compute = tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F_PEDANTIC;
    if (tf32) check(cublasSetMathMode(blas_.get(), CUBLAS_TF32_TENSOR_OP_MATH), "cuBLAS");
    const cublasStatus_t done = cublasGemmStridedBatchedEx(
        blas_.get(), p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N,
        static_cast<int>(p.columns), static_cast<int>(p.rows), static_cast<int>(p.inner), &kOne, b, CUDA_R_32F,
        static_cast<int>(p.step_b), p.stride_b, a, CUDA_R_32F, static_cast<int>(p.step_a), p.stride_a, &kZero, y,
        CUDA_R_32F, static_cast<int>(p.step_y), p.stride_y, static_cast<int>(p.batch), compute, CUBLAS_GEMM_DEFAULT);
    if (tf32) check(cublasSetMathMode(blas_.get(), CUBLAS_PEDANTIC_MATH), "cuBLAS");
    check(done, "a matrix product");
  }

  void solve(int64_t batch, int64_t m, bool transpose, float** matrices) override {
    const auto count = static_cast<int>(batch), size = static_cast<int>(m);
    const Tensor pivots = Tensor::empty({batch * m}, DType::i32, Layout::row_major, memory_);
    const Tensor info = Tensor::empty({batch}, DType::i32, Layout::row_major, memory_);
    int refused = 0;
    check(cublasSgetrfBatched(blas_.get(), size, matrices, size, pivots.data<int32_t>(), info.data<int32_t>(), count),
          "a factorisation");
    check(cublasSgetrsBatched(blas_.get(), transpose ? CUBLAS_OP_T : CUBLAS_OP_N, size, size, matrices, size,
                              pivots.data<int32_t>(), matrices + batch, size, &refused, count),
          "a solve");
    GSNET_CHECK(refused == 0, fmt::format("[cuda] a solve: argument {} is wrong", -refused));
  }

  bool conv_forward(const Convolution& c, const ConvEnd& end, const float* x, const float* w, float* y) override {
    return plans_->run(ConvPlans::Kind::forward, c, end, {x, w, y}, memory_);
  }
  bool conv_dgrad(const Convolution& c, const float* dy, const float* w, float* dx) override {
    return plans_->run(ConvPlans::Kind::dgrad, c, {}, {dx, w, dy}, memory_);
  }
  bool conv_wgrad(const Convolution& c, const float* x, const float* dy, float* dw) override {
    return plans_->run(ConvPlans::Kind::wgrad, c, {}, {x, dw, dy}, memory_);
  }

 private:
  void needs_host(const char* what) const {
    if (noting_) throw NeedsHost{what};
  }

  cudaDeviceProp properties_{};
  StreamHandle stream_;
  std::shared_ptr<Allocator> memory_;
  Tensor workspace_;
  BlasHandle blas_;
  std::unique_ptr<ConvPlans> plans_;
  Staging staging_;
  bool noting_ = false;
};

}  // namespace

std::unique_ptr<Runtime> make_cuda_runtime() { return std::make_unique<CudaRuntime>(); }

}  // namespace gsnet::cuda
