// Blocks in size classes, kept when they are released: what the allocators of all machines share.
#pragma once

#include <map>
#include <mutex>
#include <string_view>
#include <vector>

#include "core/allocator.h"

namespace gsnet {

/// Size classes: eight per power of two, so at most 12.5 % is wasted; never under 64 bytes. Thread-safe.
class CachingAllocator : public Allocator {
 public:
  void* allocate(size_t bytes) final;
  void release(void* block, size_t bytes) noexcept final;
  MemoryStats stats() const final;
  void reset_peak() final;
  void trim() final;

 protected:
  /// A new block, aligned to 64, or null when there is no memory left.
  virtual void* obtain(size_t bytes) = 0;
  virtual void give_back(void* block) noexcept = 0;
  /// "host", for messages.
  virtual std::string_view kind() const = 0;
  /// To be called by the destructor of the class that gives blocks back.
  void free_cached() noexcept;

 private:
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<void*>> cached_;
  MemoryStats stats_;
};

}  // namespace gsnet
