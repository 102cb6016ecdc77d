#include "backend/cuda/handles.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "backend/cuda/status.h"
#include "core/caching_allocator.h"
#include "core/error.h"

namespace gsnet::cuda {

void check(cudaError_t status, std::string_view what) {
  if (status != cudaSuccess) cudaGetLastError();  // told here, not again at the next launch
  GSNET_CHECK(status == cudaSuccess, fmt::format("[cuda] {}: {}", what, cudaGetErrorString(status)));
}

void check(cublasStatus_t status, std::string_view what) {
  GSNET_CHECK(status == CUBLAS_STATUS_SUCCESS, fmt::format("[cuda] {}: {}", what, cublasGetStatusString(status)));
}

void check_launch() { check(cudaGetLastError(), "a kernel could not be launched"); }

void allow_shared(const void* kernel, int bytes) {
  constexpr int kAlwaysThere = 48 << 10;
  if (bytes <= kAlwaysThere) return;
  static std::mutex mutex;
  static std::map<const void*, int> allowed;  // a kernel in a graph needs what it was allowed then
  const std::lock_guard lock(mutex);
  int& most = allowed[kernel];
  if (bytes <= most) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "shared memory of a kernel");
  most = bytes;
}

namespace {

class DeviceAllocator final : public CachingAllocator {
 public:
  explicit DeviceAllocator(int device) : CachingAllocator(kAlignment), device_(device) {}
  DeviceAllocator(const DeviceAllocator&) = delete;
  DeviceAllocator& operator=(const DeviceAllocator&) = delete;
  ~DeviceAllocator() override { free_cached(); }
  Device device() const override { return {DeviceKind::cuda, device_}; }

 protected:
  /// Small tensors share a segment; a large one has its own, which others may use when it is gone.
  size_t segment_bytes(size_t bytes) const override { return is_small(bytes) ? 2 * kSmall : std::max(bytes, kLarge); }
  bool is_small(size_t bytes) const override { return bytes <= kSmall; }
  void* obtain(size_t bytes) override {
    void* segment = nullptr;
    const cudaError_t status = cudaMalloc(&segment, bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // it is no fault: the caller tries again, or says so
      return nullptr;
    }
    check(status, "memory");
    return segment;
  }
  void give_back(void* segment, size_t /*bytes*/) noexcept override { cudaFree(segment); }  // waits for the device
  std::string_view kind() const override { return "device"; }

 private:
  static constexpr size_t kAlignment = 256;  // as cudaMalloc's
  static constexpr size_t kSmall = size_t{1} << 20, kLarge = size_t{32} << 20;
  int device_;
};

}  // namespace

std::shared_ptr<Allocator> make_device_allocator(int device) { return std::make_shared<DeviceAllocator>(device); }

}  // namespace gsnet::cuda
