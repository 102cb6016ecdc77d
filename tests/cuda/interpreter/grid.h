// Blocks of threads on a processor that does PTX, warp by warp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cuda/interpreter/memory.h"
#include "cuda/interpreter/program.h"

namespace gsnet::ptx {

struct Launch {
  const Kernel* kernel;
  int64_t blocks;
  int threads;
  int shared_bytes;  ///< given at launch
  std::vector<std::byte> parameters;
};

/// The threads of a block that run together. Lanes that went different ways wait for those that are behind.
class Warp {
 public:
  template <class T>
  T* at(Slot slot) {
    return reinterpret_cast<T*>(registers_ + slot);
  }
  uint32_t active() const { return active_; }
  bool is_active(int lane) const { return (active_ >> lane & 1) != 0; }
  /// active: all lanes of a warp, or it is an error.
  void needs_all_lanes() const;

  /// Where a lane's number lies; checked, and told to whoever looks for races.
  template <Space space>
  std::byte* reach(int lane, uint64_t address, int bytes, Use use);
  const std::byte* parameters(uint64_t at, size_t bytes) const;

  void branch(uint32_t taken, int32_t target);
  void finish();
  void wait_for_block();
  void synchronise_warp();
  /// bytes, of which `given` are copied, the others zeros; done by the next land_copies.
  void copy_later(int lane, uint64_t to, uint64_t from, int bytes, int given);
  void land_copies();
  [[noreturn]] void fail(const std::string& what) const;

 private:
  friend class Block;
  struct Group {
    int32_t next;
    uint32_t lanes;
  };
  struct Copy {
    uint64_t to, from;
    int lane, bytes, given;
  };

  void run();
  void settle();
  void say_who();

  class Block* block_ = nullptr;
  int index_ = 0;
  std::byte* registers_ = nullptr;
  std::vector<std::byte> local_;
  uint32_t active_ = 0, waiting_ = 0, synchronised_ = 0;
  Accessor in_global_, in_shared_;  ///< of its first thread
  int32_t waits_at_ = -1;
  std::vector<Group> groups_;  ///< the one that runs is the last: it is furthest behind
  std::vector<Copy> copies_;
};

/// Throws Fault naming kernel, block, thread and line.
void run_grid(const Launch& launch, DeviceMemory& memory);

}  // namespace gsnet::ptx
