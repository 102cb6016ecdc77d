#include "backend/cuda/handles.h"

#include <fmt/format.h>

#include "backend/cuda/status.h"
#include "core/caching_allocator.h"
#include "core/error.h"

namespace gsnet::cuda {

void check(cudaError_t status, std::string_view what) {
  GSNET_CHECK(status == cudaSuccess, fmt::format("[cuda] {}: {}", what, cudaGetErrorString(status)));
}

void check(cublasStatus_t status, std::string_view what) {
  GSNET_CHECK(status == CUBLAS_STATUS_SUCCESS, fmt::format("[cuda] {}: {}", what, cublasGetStatusString(status)));
}

void check_launch() { check(cudaGetLastError(), "a kernel could not be launched"); }

void allow_shared(const void* kernel, int bytes) {
  constexpr int kAlwaysThere = 48 << 10;
  if (bytes <= kAlwaysThere) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "shared memory of a kernel");
}

namespace {

class DeviceAllocator final : public CachingAllocator {
 public:
  explicit DeviceAllocator(int device) : device_(device) {}
  DeviceAllocator(const DeviceAllocator&) = delete;
  DeviceAllocator& operator=(const DeviceAllocator&) = delete;
  ~DeviceAllocator() override { free_cached(); }
  Device device() const override { return {DeviceKind::cuda, device_}; }

 protected:
  void* obtain(size_t bytes) override {
    void* block = nullptr;
    const cudaError_t status = cudaMalloc(&block, bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // it is no fault: the caller tries again, or says so
      return nullptr;
    }
    check(status, "memory");
    return block;
  }
  void give_back(void* block) noexcept override { cudaFree(block); }  // waits for the device
  std::string_view kind() const override { return "device"; }

 private:
  int device_;
};

}  // namespace

std::shared_ptr<Allocator> make_device_allocator(int device) { return std::make_shared<DeviceAllocator>(device); }

}  // namespace gsnet::cuda
