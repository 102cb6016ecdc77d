#include "core/allocator.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "core/caching_allocator.h"
#include "core/error.h"

namespace gsnet {
namespace {

constexpr size_t kAlignment = 64;

size_t size_class(size_t bytes) {
  const size_t least = std::max(bytes, kAlignment);
  const size_t step = std::max(std::bit_floor(least) / 8, kAlignment);
  return (least + step - 1) / step * step;
}

class HostAllocator final : public CachingAllocator {
 public:
  HostAllocator() = default;
  HostAllocator(const HostAllocator&) = delete;
  HostAllocator& operator=(const HostAllocator&) = delete;
  ~HostAllocator() override { free_cached(); }
  Device device() const override { return {}; }

 protected:
  void* obtain(size_t bytes) override { return std::aligned_alloc(kAlignment, bytes); }
  void give_back(void* block) noexcept override { std::free(block); }
  std::string_view kind() const override { return "host"; }
};

}  // namespace

void* CachingAllocator::allocate(size_t bytes) {
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
    block = obtain(size);
    if (block == nullptr) {
      const int64_t cached = stats_.cached_bytes;
      free_cached();
      block = obtain(size);
      GSNET_CHECK(block != nullptr, fmt::format("[allocate] out of {} memory: {} bytes asked, {} in use, {} cached",
                                                kind(), size, stats_.active_bytes, cached));
    }
  }
  stats_.active_bytes += static_cast<int64_t>(size);
  stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.active_bytes);
  return block;
}

void CachingAllocator::release(void* block, size_t bytes) noexcept {
  const size_t size = size_class(bytes);
  const std::lock_guard lock(mutex_);
  stats_.active_bytes -= static_cast<int64_t>(size);
  try {
    cached_[size].push_back(block);
    stats_.cached_bytes += static_cast<int64_t>(size);
  } catch (...) {
    give_back(block);
  }
}

MemoryStats CachingAllocator::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void CachingAllocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  stats_.peak_bytes = stats_.active_bytes;
}

void CachingAllocator::trim() {
  const std::lock_guard lock(mutex_);
  free_cached();
}

void CachingAllocator::free_cached() noexcept {
  for (auto& [size, blocks] : cached_) {
    for (void* block : blocks) give_back(block);
    blocks.clear();
  }
  stats_.cached_bytes = 0;
}

std::shared_ptr<Allocator> make_host_allocator() { return std::make_shared<HostAllocator>(); }

const std::shared_ptr<Allocator>& default_host_allocator() {
  static const std::shared_ptr<Allocator> allocator = make_host_allocator();
  return allocator;
}

}  // namespace gsnet
