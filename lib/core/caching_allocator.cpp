#include "core/caching_allocator.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "core/error.h"

namespace gsnet {

bool CachingAllocator::Smaller::operator()(const Block* a, const Block* b) const {
  return a->size != b->size ? a->size < b->size : a->start < b->start;
}

CachingAllocator::Block* CachingAllocator::free_block(size_t size) const {
  Block least{.start = nullptr, .size = size, .segment = nullptr, .small = is_small(size), .place = {}};
  const FreeBlocks& blocks = free_[least.small ? 1 : 0];
  const auto found = blocks.lower_bound(&least);
  return found == blocks.end() ? nullptr : *found;
}

CachingAllocator::Block& CachingAllocator::add_free(std::byte* start, size_t size, std::byte* segment, bool small) {
  Block& block = blocks_.try_emplace(start, Block{start, size, segment, small, {}}).first->second;
  free_like(block).insert(&block);
  return block;
}

/// Tries less and less, down to what is needed.
CachingAllocator::Block* CachingAllocator::grow(size_t size, size_t segment_size) {
  auto* start = static_cast<std::byte*>(obtain(segment_size));
  if (start == nullptr) return segment_size > size ? grow(size, std::max(size, segment_size / 2)) : nullptr;
  closed(start, segment_size);
  try {
    segments_.try_emplace(start, Segment{segment_size});
    return &add_free(start, segment_size, start, is_small(size));
  } catch (...) {
    segments_.erase(start);
    give_back(start, segment_size);
    throw;
  }
}

/// Leaves `size` bytes in a free block; the rest becomes one of its own.
void CachingAllocator::split(Block& block, size_t size) {
  if (block.size == size) return;
  add_free(block.start + size, block.size - size, block.segment, block.small);
  auto place = free_like(block).extract(&block);
  block.size = size;
  free_like(block).insert(std::move(place));
}

/// Two free blocks, neither of them in free_.
void CachingAllocator::join(std::map<std::byte*, Block>::iterator left,
                            std::map<std::byte*, Block>::iterator right) noexcept {
  left->second.size += right->second.size;
  blocks_.erase(right);
}

void* CachingAllocator::allocate(size_t bytes) {
  GSNET_CHECK(bytes < (size_t{1} << 46), fmt::format("[allocate] {} bytes is more than any machine has", bytes));
  const size_t size = (std::max(bytes, size_t{1}) + guard_ + alignment_ - 1) / alignment_ * alignment_;
  const std::lock_guard lock(mutex_);
  Block* block = free_block(size);
  if (block == nullptr) block = grow(size, segment_bytes(size));
  if (block == nullptr) {
    const int64_t cached = stats_.cached_bytes;
    free_cached();
    block = grow(size, size);
    GSNET_CHECK(block != nullptr, fmt::format("[allocate] out of {} memory: {} bytes asked, {} in use, {} cached",
                                              kind(), size, stats_.active_bytes, cached));
  }
  split(*block, size);
  block->place = free_like(*block).extract(block);
  Segment& segment = segments_.find(block->segment)->second;
  const size_t used = std::max(segment.used, static_cast<size_t>(block->start - block->segment) + size);
  stats_.cached_bytes += static_cast<int64_t>(used - segment.used) - static_cast<int64_t>(size);
  segment.used = used;
  stats_.active_bytes += static_cast<int64_t>(size);
  stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.active_bytes);
  opened(block->start, bytes);
  return block->start;
}

void CachingAllocator::release(void* start) noexcept {
  const std::lock_guard lock(mutex_);
  auto block = blocks_.find(static_cast<std::byte*>(start));
  FreeBlocks::node_type place = std::move(block->second.place);
  const size_t size = block->second.size;
  closed(start, size);
  stats_.active_bytes -= static_cast<int64_t>(size);
  stats_.cached_bytes += static_cast<int64_t>(size);
  const auto joins = [&](auto other) {
    return other != blocks_.end() && other->second.is_free() && other->second.segment == block->second.segment;
  };
  if (const auto right = std::next(block); joins(right)) {
    free_like(right->second).erase(&right->second);
    join(block, right);
  }
  if (const auto left = block == blocks_.begin() ? blocks_.end() : std::prev(block); joins(left)) {
    free_like(left->second).erase(&left->second);
    join(left, block);
    block = left;
  }
  place.value() = &block->second;
  free_like(block->second).insert(std::move(place));
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
  for (const FreeBlocks& blocks : free_) {
    for (const Block* block : blocks) forget(block->start, block->size);
  }
}

void CachingAllocator::free_cached() noexcept {
  for (auto segment = segments_.begin(); segment != segments_.end();) {
    const auto block = blocks_.find(segment->first);
    if (!block->second.is_free() || block->second.size != segment->second.size) {
      ++segment;
      continue;
    }
    free_like(block->second).erase(&block->second);
    blocks_.erase(block);
    stats_.cached_bytes -= static_cast<int64_t>(segment->second.used);
    give_back(segment->first, segment->second.size);
    segment = segments_.erase(segment);
  }
}

namespace {

class Pool final : public CachingAllocator {
 public:
  explicit Pool(std::shared_ptr<Allocator> whole) : CachingAllocator(kAlignment), whole_(std::move(whole)) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() override { free_cached(); }
  Device device() const override { return whole_->device(); }

 protected:
  size_t segment_bytes(size_t bytes) const override { return is_small(bytes) ? 2 * kSmall : std::max(bytes, kLarge); }
  bool is_small(size_t bytes) const override { return bytes <= kSmall; }
  void* obtain(size_t bytes) override {
    try {
      return whole_->allocate(bytes);
    } catch (const Error&) {
      return nullptr;
    }
  }
  void give_back(void* segment, size_t /*bytes*/) noexcept override { whole_->release(segment); }
  std::string_view kind() const override { return "pool"; }

 private:
  static constexpr size_t kAlignment = 256, kSmall = size_t{1} << 20, kLarge = size_t{32} << 20;
  std::shared_ptr<Allocator> whole_;
};

}  // namespace

std::shared_ptr<Allocator> make_pool(std::shared_ptr<Allocator> whole) {
  return std::make_shared<Pool>(std::move(whole));
}

}  // namespace gsnet
