// Blocks cut out of large segments and joined again when they are released: what the allocators of all machines share.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string_view>

#include "core/allocator.h"

namespace gsnet {

/// The smallest free block that is large enough serves, and is split; free neighbours of a segment are one block. So
/// tensors of all sizes share memory, and a step holds little more than the tensors that live at its peak. Thread-safe.
class CachingAllocator : public Allocator {
 public:
  void* allocate(size_t bytes) final;
  void release(void* block) noexcept final;
  MemoryStats stats() const final;
  void reset_peak() final;
  void trim() final;

 protected:
  /// Blocks begin at multiples of `alignment`, a power of two, and have `guard` bytes behind them that are never
  /// opened.
  explicit CachingAllocator(size_t alignment, size_t guard = 0) : alignment_(alignment), guard_(guard) {}

  /// How much to obtain for a block of `bytes` for which there is no room: at least that.
  virtual size_t segment_bytes(size_t bytes) const = 0;
  /// Whether a block of `bytes` shares segments with small ones only, lest it pin a large one down.
  virtual bool is_small(size_t /*bytes*/) const { return false; }
  /// A new segment, aligned, or null when there is not as much memory left.
  virtual void* obtain(size_t bytes) = 0;
  virtual void give_back(void* segment, size_t bytes) noexcept = 0;
  /// What these bytes hold is not needed any more, the bytes are: their memory may go back to the system till then.
  virtual void forget(void* /*start*/, size_t /*bytes*/) noexcept {}
  /// Bytes that may be touched from now on, and those that may no longer be: for tools that find faults.
  virtual void opened(void* /*start*/, size_t /*bytes*/) noexcept {}
  virtual void closed(void* /*start*/, size_t /*bytes*/) noexcept {}
  /// "host", for messages.
  virtual std::string_view kind() const = 0;
  /// To be called by the destructor of the class that gives segments back.
  void free_cached() noexcept;

 private:
  struct Block;
  /// By size, then by address.
  struct Smaller {
    bool operator()(const Block* a, const Block* b) const;
  };
  using FreeBlocks = std::set<Block*, Smaller>;

  struct Block {
    std::byte* start;
    size_t size;
    std::byte* segment;
    bool small;
    FreeBlocks::node_type place;  // among the free ones, kept while it is in use: releasing needs no memory
    bool is_free() const { return place.empty(); }
  };
  struct Segment {
    size_t size;
    size_t used = 0;  // from its start: what has ever been handed out
  };

  FreeBlocks& free_like(const Block& block) { return free_[block.small ? 1 : 0]; }
  Block* free_block(size_t size) const;
  Block* grow(size_t size, size_t segment_size);
  Block& add_free(std::byte* start, size_t size, std::byte* segment, bool small);
  void split(Block& block, size_t size);
  void join(std::map<std::byte*, Block>::iterator left, std::map<std::byte*, Block>::iterator right) noexcept;

  const size_t alignment_, guard_;
  mutable std::mutex mutex_;
  std::map<std::byte*, Segment> segments_;
  std::map<std::byte*, Block> blocks_;
  std::array<FreeBlocks, 2> free_;  // large, small
  MemoryStats stats_;
};

/// Memory of another allocator's, cut up by itself: what was released here serves here only.
std::shared_ptr<Allocator> make_pool(std::shared_ptr<Allocator> whole);

}  // namespace gsnet
