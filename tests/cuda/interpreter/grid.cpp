#include "cuda/interpreter/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "cuda/interpreter/fault.h"

namespace gsnet::ptx {
namespace {

constexpr int32_t kFinished = INT32_MAX;

}  // namespace

class Block {
 public:
  Block(const Launch& launch, DeviceMemory& memory);
  void run(int64_t index);

  const Launch& launch;
  const Kernel& kernel;
  DeviceMemory& memory;
  uint32_t number, index = 0, runs = 0;
  uint32_t barriers = 0;
  std::vector<std::byte> shared;
  std::unique_ptr<Tracks> tracks;

 private:
  void release();

  std::vector<std::byte> registers_;
  std::vector<Warp> warps_;
};

Block::Block(const Launch& given, DeviceMemory& device)
    : launch(given), kernel(*given.kernel), memory(device), number(device.next_launch()) {
  const size_t bytes = (static_cast<size_t>(kernel.shared_bytes) + 127) / 128 * 128;
  shared.resize(bytes + static_cast<size_t>(launch.shared_bytes));
  tracks = std::make_unique<Tracks>(std::max<size_t>(shared.size(), 4));
  const auto per_warp = static_cast<size_t>(kernel.register_bytes);
  const size_t warps = static_cast<size_t>(launch.threads + kLanes - 1) / kLanes;
  registers_.resize(warps * per_warp + 64);
  warps_.resize(warps);
  const auto aligned =
      (reinterpret_cast<uintptr_t>(registers_.data()) + 63) / 64 * 64 - reinterpret_cast<uintptr_t>(registers_.data());
  for (size_t i = 0; i < warps; ++i) {
    Warp& warp = warps_[i];
    warp.block_ = this;
    warp.index_ = static_cast<int>(i);
    warp.registers_ = registers_.data() + aligned + i * per_warp;
    warp.local_.resize(static_cast<size_t>(kernel.local_bytes) * kLanes);
  }
}

void Block::run(int64_t block) {
  index = static_cast<uint32_t>(block);
  if (runs++ == Accessor::kLaunches) {
    tracks->forget();
    runs = 1;
  }
  std::fill(shared.begin(), shared.end(), std::byte{0xFF});
  for (Warp& warp : warps_) {
    std::memcpy(warp.registers_, kernel.constants.data(), kernel.constants.size());
    const int first = warp.index_ * kLanes, lanes = std::min(kLanes, launch.threads - first);
    for (int lane = 0; lane < kLanes; ++lane) {
      warp.at<int32_t>(kernel.thread)[lane] = first + lane;
      warp.at<int32_t>(kernel.threads)[lane] = launch.threads;
      warp.at<int32_t>(kernel.block)[lane] = static_cast<int32_t>(block);
      warp.at<int32_t>(kernel.blocks)[lane] = static_cast<int32_t>(launch.blocks);
    }
    std::fill(warp.local_.begin(), warp.local_.end(), std::byte{0xFF});
    warp.groups_ = {{0, lanes == kLanes ? ~uint32_t{0} : (uint32_t{1} << lanes) - 1}};
    warp.waiting_ = 0;
    warp.copies_.clear();
  }
  // Warps come in another order from barrier to barrier: nothing may rely on it.
  bool any = true;
  while (any) {
    for (size_t i = 0; i < warps_.size(); ++i) warps_[barriers % 2 == 0 ? i : warps_.size() - 1 - i].run();
    any = std::ranges::any_of(warps_, [](const Warp& warp) { return warp.waiting_ != 0; });
    if (any) release();
  }
}

/// All threads that are left wait at one barrier, or it would never open on a device.
void Block::release() {
  int32_t at = -1;
  for (Warp& warp : warps_) {
    if (warp.waiting_ == 0) continue;
    if (at == -1) at = warp.waits_at_;
    if (at != warp.waits_at_) warp.fail("threads wait at different barriers");
    warp.groups_ = {{warp.waits_at_ + 1, warp.waiting_}};
    warp.waiting_ = 0;
  }
  ++barriers;
}

void Warp::needs_all_lanes() const {
  if (active_ != ~uint32_t{0}) fail("not all lanes of the warp are here");
}

const std::byte* Warp::parameters(uint64_t at, size_t bytes) const {
  const std::vector<std::byte>& all = block_->launch.parameters;
  if (at > all.size() || all.size() - at < bytes) fail(fmt::format("parameters at {}", at));
  return all.data() + at;
}

void Warp::fail(const std::string& what) const {
  const int lane = active_ == 0 ? 0 : std::countr_zero(active_);
  const auto next = groups_.empty() ? 0 : static_cast<size_t>(std::max(groups_.back().next - 1, 0));
  throw Fault(fmt::format("[ptx] {}, line {}: block {}, thread {}: {}", block_->kernel.name,
                          block_->kernel.code[std::min(next, block_->kernel.code.size() - 1)].line, block_->index,
                          index_ * kLanes + lane, what));
}

template <Space space>
std::byte* Warp::reach(int lane, uint64_t address, int bytes, Use use) {
  if (address % static_cast<uint64_t>(bytes) != 0)
    fail(fmt::format("address {:#x}, not a multiple of {}", address, bytes));
  if constexpr (space == Space::generic) {
    if (address - kSharedWindow < kWindowBytes) return reach<Space::shared>(lane, address - kSharedWindow, bytes, use);
    if (address - kLocalWindow < kWindowBytes) return reach<Space::local>(lane, address - kLocalWindow, bytes, use);
    return reach<Space::global>(lane, address, bytes, use);
  }
  const auto verb = [&] { return use == Use::read ? "read" : "written"; };
  if constexpr (space == Space::global) {
    bool in_order = true;
    std::byte* found = block_->memory.reach(address, bytes, use, in_global_.lane(lane), in_order);
    if (found == nullptr) fail(fmt::format("{} bytes {} at {:#x}, which is not allocated", bytes, verb(), address));
    if (!in_order)
      fail(fmt::format("{} bytes {} at {:#x} with nothing to order it after another thread", bytes, verb(), address));
    return found;
  } else if constexpr (space == Space::shared) {
    if (address + static_cast<uint64_t>(bytes) > block_->shared.size()) {
      fail(
          fmt::format("{} bytes {} at {} of {} bytes of shared memory", bytes, verb(), address, block_->shared.size()));
    }
    if (!block_->tracks->note(address, bytes, use, in_shared_.lane(lane))) {
      fail(fmt::format("{} bytes {} at {} of shared memory with nothing to order it after another thread", bytes,
                       verb(), address));
    }
    return block_->shared.data() + address;
  } else {
    const auto each = static_cast<uint64_t>(block_->kernel.local_bytes);
    if (address + static_cast<uint64_t>(bytes) > each) fail(fmt::format("local memory at {}", address));
    return local_.data() + static_cast<uint64_t>(lane) * each + address;
  }
}

template std::byte* Warp::reach<Space::global>(int, uint64_t, int, Use);
template std::byte* Warp::reach<Space::shared>(int, uint64_t, int, Use);
template std::byte* Warp::reach<Space::local>(int, uint64_t, int, Use);
template std::byte* Warp::reach<Space::generic>(int, uint64_t, int, Use);

void Warp::branch(uint32_t taken, int32_t target) {
  Group& here = groups_.back();
  if (taken == here.lanes) {
    here.next = target;
    if (groups_.size() > 1) settle();
    return;
  }
  here.lanes &= ~taken;
  groups_.push_back({target, taken});
  settle();
}

/// Those furthest behind last; those at one place together.
void Warp::settle() {
  std::ranges::sort(groups_, [](const Group& a, const Group& b) { return a.next > b.next; });
  size_t kept = 0;
  for (size_t i = 1; i < groups_.size(); ++i) {
    if (groups_[i].next == groups_[kept].next) {
      groups_[kept].lanes |= groups_[i].lanes;
    } else {
      groups_[++kept] = groups_[i];
    }
  }
  groups_.resize(kept + 1);
}

void Warp::finish() {
  Group& here = groups_.back();
  here.lanes &= ~active_;
  if (here.lanes == 0) groups_.pop_back();
}

void Warp::wait_for_block() {
  Group& here = groups_.back();
  if (waiting_ != 0 && waits_at_ != here.next - 1) fail("lanes wait at different barriers");
  waits_at_ = here.next - 1;
  waiting_ |= active_;
  here.lanes &= ~active_;
  if (here.lanes == 0) groups_.pop_back();
}

void Warp::say_who() {
  const auto first = static_cast<uint32_t>(index_ * kLanes);
  in_global_ = Accessor(block_->number, block_->index, block_->barriers, synchronised_, first);
  in_shared_ = Accessor(block_->runs, 0, block_->barriers, synchronised_, first);  // the memory is this block's alone
}

void Warp::synchronise_warp() {
  ++synchronised_;
  say_who();
}

void Warp::run() {
  const Instruction* code = block_->kernel.code.data();
  say_who();
  while (!groups_.empty()) {
    if (groups_.size() > 1) {
      Group& here = groups_.back();
      if (here.next >= groups_[groups_.size() - 2].next) settle();
    }
    Group& here = groups_.back();
    const Instruction& now = code[here.next++];
    active_ = here.lanes;
    if (now.guard >= 0) {
      const uint32_t guard = *at<uint32_t>(now.guard);
      active_ &= now.unless ? ~guard : guard;
      if (active_ == 0) continue;
    }
    now.run(now, *this);
  }
}

void Warp::copy_later(int lane, uint64_t to, uint64_t from, int bytes, int given) {
  if (to % static_cast<uint64_t>(bytes) != 0 || from % static_cast<uint64_t>(bytes) != 0) {
    fail(fmt::format("a copy of {} bytes from {:#x} to {:#x}", bytes, from, to));
  }
  copies_.push_back({to, from, lane, bytes, given});
}

void Warp::land_copies() {
  const auto landed =
      std::partition(copies_.begin(), copies_.end(), [&](const Copy& copy) { return !is_active(copy.lane); });
  for (auto copy = landed; copy != copies_.end(); ++copy) {
    std::byte* to = reach<Space::shared>(copy->lane, copy->to, copy->bytes, Use::write);
    std::memset(to, 0, static_cast<size_t>(copy->bytes));
    if (copy->given == 0) continue;
    std::memcpy(to, reach<Space::global>(copy->lane, copy->from, copy->given, Use::read),
                static_cast<size_t>(copy->given));
  }
  copies_.erase(landed, copies_.end());
}

void run_grid(const Launch& launch, DeviceMemory& memory) {
  Block block(launch, memory);
  // In an order that nothing may rely on.
  for (int64_t i = launch.blocks / 2 * 2 - 1; i > 0; i -= 2) block.run(i);
  for (int64_t i = 0; i < launch.blocks; i += 2) block.run(i);
}

}  // namespace gsnet::ptx
