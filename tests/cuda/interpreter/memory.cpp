#include "cuda/interpreter/memory.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace gsnet::ptx {
namespace {

/// Pages that are there when they are touched, all zeros.
void* map_pages(size_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  return pages;
}

}  // namespace

Tracks::Tracks(size_t bytes) : bytes_((bytes + 3) / 4 * sizeof(Word)) {
  words_ = static_cast<Word*>(map_pages(bytes_));
}

Tracks::~Tracks() { munmap(words_, bytes_); }

void Tracks::forget() { madvise(words_, bytes_, MADV_DONTNEED); }

uint32_t DeviceMemory::next_launch() {
  if (launches_++ == Accessor::kLaunches) {
    for (auto& [address, piece] : pieces_) piece.tracks->forget();
    launches_ = 1;
  }
  return launches_;
}

void* DeviceMemory::allocate(size_t bytes) {
  void* memory = map_pages(bytes);
  std::memset(memory, 0xFF, bytes);
  pieces_[reinterpret_cast<uint64_t>(memory)] = {bytes, std::make_unique<Tracks>(bytes), true};
  return memory;
}

bool DeviceMemory::free(void* memory) {
  const auto found = pieces_.find(reinterpret_cast<uint64_t>(memory));
  if (found == pieces_.end() || !found->second.owned) return false;
  last_bytes_ = 0;
  munmap(memory, found->second.bytes);
  pieces_.erase(found);
  return true;
}

void DeviceMemory::add(void* memory, size_t bytes) {
  pieces_[reinterpret_cast<uint64_t>(memory)] = {bytes, std::make_unique<Tracks>(bytes), false};
}

bool DeviceMemory::find_piece(uint64_t address) {
  auto after = pieces_.upper_bound(address);
  if (after == pieces_.begin()) return false;
  --after;
  if (address - after->first >= after->second.bytes) return false;
  last_start_ = after->first;
  last_bytes_ = after->second.bytes;
  last_tracks_ = after->second.tracks.get();
  return true;
}

bool DeviceMemory::holds(const void* memory, size_t bytes) const {
  const auto address = reinterpret_cast<uint64_t>(memory);
  auto after = pieces_.upper_bound(address);
  if (after == pieces_.begin()) return false;
  --after;
  return address - after->first < after->second.bytes && after->second.bytes - (address - after->first) >= bytes;
}

}  // namespace gsnet::ptx
