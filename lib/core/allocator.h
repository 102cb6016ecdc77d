// Memory for tensors. A machine owns one allocator; freed blocks are kept and handed out again, because fresh pages are
// expensive: a newly mapped 4 MB buffer can cost more than the convolution that fills it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/device.h"

namespace gsnet {

/// Bytes handed out now, at most so far, and kept for reuse.
struct MemoryStats {
  int64_t active_bytes = 0;
  int64_t peak_bytes = 0;
  int64_t cached_bytes = 0;
};

class Allocator {
 public:
  virtual ~Allocator() = default;

  /// A block of at least `bytes` bytes, aligned to 64. Throws Error naming the bytes asked, in use and cached.
  virtual void* allocate(size_t bytes) = 0;
  /// The block may be reused at once: work on it is ordered by the machine's stream.
  virtual void release(void* block) noexcept = 0;
  virtual Device device() const = 0;
  virtual MemoryStats stats() const = 0;
  /// Forgets the peak: it counts anew from what is active now.
  virtual void reset_peak() = 0;
  /// Gives what is free back to the system, as far as it can.
  virtual void trim() = 0;
};

/// Host memory, a cache line at least. Thread-safe.
std::shared_ptr<Allocator> make_host_allocator();

/// The host allocator of tensors that no machine asked for (file readers, loaders); one for the process.
const std::shared_ptr<Allocator>& default_host_allocator();

}  // namespace gsnet
