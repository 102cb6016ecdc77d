#include "core/allocator.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "core/error.h"

namespace gsnet {
namespace {

constexpr size_t kAlignment = 64;

/// The size class of a request: eight steps per power of two, never under 64 bytes.
size_t size_class(size_t bytes) {
  const size_t least = std::max(bytes, kAlignment);
  const size_t step = std::max(std::bit_floor(least) / 8, kAlignment);
  return (least + step - 1) / step * step;
}

class HostAllocator final : public Allocator {
 public:
  ~HostAllocator() override { free_cached(); }

  void* allocate(size_t bytes) override {
    GSNET_CHECK(bytes < (size_t{1} << 46), fmt::format("[allocate] {} bytes is more than any machine has", bytes));
    const size_t size = size_class(bytes);
    const std::lock_guard lock(mutex_);
    auto& blocks = cached_[size];
    void* block = nullptr;
    if (!blocks.empty()) {
      block = blocks.back();
      blocks.pop_back();
      stats_.cached_bytes -= static_cast<int64_t>(size);
    } else {
      block = std::aligned_alloc(kAlignment, size);
      if (block == nullptr) {
        free_cached();
        block = std::aligned_alloc(kAlignment, size);
      }
      GSNET_CHECK(block != nullptr, fmt::format("[allocate] out of host memory: {} bytes asked, {} in use, {} cached",
                                                size, stats_.active_bytes, stats_.cached_bytes));
    }
    stats_.active_bytes += static_cast<int64_t>(size);
    stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.active_bytes);
    return block;
  }

  void release(void* block, size_t bytes) noexcept override {
    const size_t size = size_class(bytes);
    const std::lock_guard lock(mutex_);
    stats_.active_bytes -= static_cast<int64_t>(size);
    try {
      cached_[size].push_back(block);
      stats_.cached_bytes += static_cast<int64_t>(size);
    } catch (...) {
      std::free(block);
    }
  }

  Device device() const override { return {}; }

  MemoryStats stats() const override {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

  void reset_peak() override {
    const std::lock_guard lock(mutex_);
    stats_.peak_bytes = stats_.active_bytes;
  }

  void trim() override {
    const std::lock_guard lock(mutex_);
    free_cached();
  }

 private:
  void free_cached() {
    for (auto& [size, blocks] : cached_) {
      for (void* block : blocks) std::free(block);
      blocks.clear();
    }
    stats_.cached_bytes = 0;
  }

  mutable std::mutex mutex_;
  std::map<size_t, std::vector<void*>> cached_;
  MemoryStats stats_;
};

}  // namespace

std::shared_ptr<Allocator> make_host_allocator() { return std::make_shared<HostAllocator>(); }

const std::shared_ptr<Allocator>& default_host_allocator() {
  static const std::shared_ptr<Allocator> allocator = make_host_allocator();
  return allocator;
}

}  // namespace gsnet
