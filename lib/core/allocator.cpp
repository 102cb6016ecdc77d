#include "core/allocator.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <algorithm>

#include "core/caching_allocator.h"

namespace gsnet {
namespace {

/// Address space costs nothing until it is touched; the system refuses what it could never hold.
class HostAllocator final : public CachingAllocator {
 public:
  HostAllocator() : CachingAllocator(kCacheLine, kGuard) {}
  HostAllocator(const HostAllocator&) = delete;
  HostAllocator& operator=(const HostAllocator&) = delete;
  ~HostAllocator() override { free_cached(); }
  Device device() const override { return {}; }

 protected:
  size_t segment_bytes(size_t bytes) const override { return std::max(bytes, kSegment); }
  void* obtain(size_t bytes) override {
    void* segment = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (segment == MAP_FAILED) return nullptr;
#if defined(MADV_HUGEPAGE)
    madvise(segment, bytes, MADV_HUGEPAGE);  // where the system has none, small pages do
#endif
    return segment;
  }
  void give_back(void* segment, size_t bytes) noexcept override {
    opened(segment, bytes);
    munmap(segment, bytes);
  }
  void forget(void* start, size_t bytes) noexcept override {
    const auto first = (reinterpret_cast<uintptr_t>(start) + kPage - 1) / kPage * kPage;
    const auto last = (reinterpret_cast<uintptr_t>(start) + bytes) / kPage * kPage;
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  }
  void opened(void* start, size_t bytes) noexcept override { ASAN_UNPOISON_MEMORY_REGION(start, bytes); }
  void closed(void* start, size_t bytes) noexcept override { ASAN_POISON_MEMORY_REGION(start, bytes); }
  std::string_view kind() const override { return "host"; }

 private:
  static constexpr size_t kCacheLine = 64, kPage = 4096;
#if defined(__SANITIZE_ADDRESS__)
  static constexpr size_t kGuard = kCacheLine, kSegment = size_t{64} << 20;
#else
  static constexpr size_t kGuard = 0, kSegment = size_t{1} << 30;
#endif
};

}  // namespace

std::shared_ptr<Allocator> make_host_allocator() { return std::make_shared<HostAllocator>(); }

const std::shared_ptr<Allocator>& default_host_allocator() {
  static const std::shared_ptr<Allocator> allocator = make_host_allocator();
  return allocator;
}

}  // namespace gsnet
